"""Watches (W1 to W5)."""

from __future__ import annotations

import asyncio
import time
from typing import List

import pytest
from servers import Cluster
from support import Proxy, answering, closes_connections, run, soon, unique, until

from conclave_client import api, errors, ops
from conclave_client.aio import Client, Watch
from conclave_client.types import EventType


async def values(watch: Watch, count: int) -> List[bytes]:
    got: List[bytes] = []
    while len(got) < count:
        got += [event.value for event in (await soon(watch.__anext__())).events]
    return got


def test_events_in_order_and_revisions_together(cluster: Cluster) -> None:
    async def test() -> None:
        async with Client(cluster.endpoints) as client:
            key = unique()
            first = await client.put(key, "1")
            async with client.watch(key, prefix=True, revision=first.revision) as watch:
                await client.txn([], [ops.put(key, "2"), ops.put(key + "x", "3")])
                await client.delete(key)
                assert [e.value for e in (await soon(watch.__anext__())).events] == [b"1"]
                both = await soon(watch.__anext__())
                assert [e.value for e in both.events] == [b"2", b"3"]
                assert {e.revision for e in both.events} == {both.revision}
                last = await soon(watch.__anext__())
                assert last.events[0].type is EventType.DELETE

    run(test())


def test_a_watch_resumes_without_loss_or_repetition(cluster: Cluster) -> None:
    async def test() -> None:
        key = unique()
        async with Proxy(cluster.members[0].port) as proxy:
            async with Client(cluster.endpoints) as writer, Client([proxy.url]) as client:
                async with client.watch(key) as watch:
                    for n in range(30):
                        await writer.put(key, str(n))
                        if n % 10 == 0:
                            proxy.cut()
                    got = await values(watch, 30)
                    assert got == [str(n).encode() for n in range(30)]

    run(test())


def test_a_break_before_the_first_event_loses_nothing(cluster: Cluster) -> None:
    async def test() -> None:
        key = unique()
        async with Proxy(cluster.members[0].port) as proxy:
            async with Client(cluster.endpoints) as writer, Client([proxy.url]) as client:
                async with client.watch(key) as watch:
                    proxy.hold()
                    await writer.put(key, "1")
                    proxy.cut()
                    await writer.put(key, "2")
                    proxy.pass_on()
                    assert await values(watch, 2) == [b"1", b"2"]

    run(test())


def test_compacted_history(cluster: Cluster) -> None:
    async def test() -> None:
        async with Client(cluster.endpoints) as client:
            key = unique()
            first = await client.put(key, "1")
            last = await client.put(key, "2")
            await client.compact(last.revision)
            with pytest.raises(errors.CompactedError) as caught:
                async with client.watch(key, revision=first.revision) as watch:
                    await soon(watch.__anext__())
            assert caught.value.revision == last.revision

    run(test())


def test_events_come_before_compacted(cluster: Cluster) -> None:
    async def test() -> None:
        key = unique()
        async with Proxy(cluster.members[0].port) as proxy:
            async with Client(cluster.endpoints) as writer, Client([proxy.url]) as client:
                async with client.watch(key) as watch:
                    await writer.put(key, "1")
                    assert await values(watch, 1) == [b"1"]
                    proxy.hold()
                    proxy.cut()
                    await writer.put(key, "2")
                    last = await writer.put(key, "3")
                    await writer.compact(last.revision)
                    proxy.pass_on()
                    with pytest.raises(errors.CompactedError):
                        await soon(watch.__anext__())

    run(test())


def test_close_ends_the_iteration(cluster: Cluster) -> None:
    async def test() -> None:
        async with Client(cluster.endpoints) as client:
            watch = await client.watch(unique())

            async def read() -> list[object]:
                return [batch async for batch in watch]

            reading = asyncio.ensure_future(read())
            await asyncio.sleep(0)
            await watch.close()
            assert await soon(reading) == []
            async for _ in watch:
                raise AssertionError("no batch after close")

    run(test())


def test_the_end_of_the_client_ends_watches(cluster: Cluster) -> None:
    async def test() -> None:
        client = Client(cluster.endpoints)
        watch = await client.watch(unique())
        reading = asyncio.ensure_future(watch.__anext__())
        await asyncio.sleep(0)
        await client.close()
        with pytest.raises(errors.ClosedError):
            await soon(reading)

    run(test())


def test_a_timeout_of_the_reader_loses_nothing(cluster: Cluster) -> None:
    async def test() -> None:
        async with Client(cluster.endpoints) as client:
            key = unique()
            async with client.watch(key) as watch:
                for n in range(5):
                    with pytest.raises(asyncio.TimeoutError):
                        await asyncio.wait_for(watch.__anext__(), 0.01)
                    await client.put(key, str(n))
                    assert await values(watch, 1) == [str(n).encode()]

    run(test())


def test_a_slow_consumer_slows_only_its_own_watch(cluster: Cluster) -> None:
    async def test() -> None:
        async with Client(cluster.endpoints) as client:
            key = unique()
            async with client.watch(key) as slow, client.watch(key) as fast:
                total = 1200
                for n in range(total):
                    await client.put(key, str(n))
                assert await values(fast, total) == [str(n).encode() for n in range(total)]
                await until(lambda: len(slow._feed._items) == 1024, "the buffer is full")
                assert await values(slow, total) == [str(n).encode() for n in range(total)]

    run(test())


def test_pings_find_a_dead_connection(cluster: Cluster) -> None:
    async def test() -> None:
        key = unique()
        async with Proxy(cluster.members[0].port) as proxy:
            async with Client([proxy.url]) as client, Client(cluster.endpoints) as writer:
                async with client.watch(key) as watch:
                    proxy.hold()
                    began = time.monotonic()
                    reading = asyncio.ensure_future(watch.__anext__())
                    endpoint = client._started().rotation.endpoints[0]
                    await until(lambda: not endpoint.in_rotation, "a ping is not answered")
                    # 10 s without a frame, 3 s for the answer (C3).
                    assert 5 < time.monotonic() - began < 15
                    proxy.pass_on()
                    proxy.cut()
                    await writer.put(key, "1")
                    assert (await soon(reading)).events[0].value == b"1"

    run(test())


def test_a_member_without_majority_is_left() -> None:
    async def test(cluster: Cluster) -> None:
        key = unique()
        async with Client(cluster.endpoints) as client, Client(cluster.endpoints) as writer:
            await writer.put(key, "0", timeout=20)
            watches = [await client.watch(key) for _ in cluster.members]
            # Stopped, not killed: its connections stay and nothing comes from it any more.
            cluster.members[1].kill()
            for n in range(20):
                try:
                    await writer.put(key, str(n), timeout=10)
                except errors.ConclaveError as error:
                    assert error.maybe, error
            await writer.put(key, "last", timeout=20)
            for watch in watches:
                while (await soon(watch.__anext__())).events[-1].value != b"last":
                    pass
                await watch.close()

    with Cluster(3) as cluster:
        run(test(cluster))


def test_a_connection_that_breaks_before_the_stream_begins(cluster: Cluster) -> None:
    async def test() -> None:
        key = unique()
        async with Proxy(cluster.members[0].port) as proxy:
            async with Client(cluster.endpoints) as writer, Client([proxy.url]) as client:
                async with client.watch(key) as watch:
                    closed = closes_connections(client, 3)
                    proxy.cut()
                    await until(lambda: len(closed) == 3, "the watch has tried again")
                    await writer.put(key, "1")
                    assert await values(watch, 1) == [b"1"]

    run(test())


def test_an_event_that_cannot_be_decoded_comes_from_another_endpoint(cluster: Cluster) -> None:
    async def test() -> None:
        key = unique()
        async with answering(b"\xff\xff\xff\xff") as url:
            async with Client([url]) as alone:
                with pytest.raises(errors.UnavailableError):
                    await alone.watch(key, timeout=0.3)
            async with Client([url, *cluster.endpoints]) as client:
                async with Client(cluster.endpoints) as writer, client.watch(key) as watch:
                    await writer.put(key, "1")
                    assert await values(watch, 1) == [b"1"]

    run(test())


def test_a_watch_at_revision_0_opens() -> None:
    async def test() -> None:
        created = api.rpc.WatchResponse(created=True).SerializeToString()
        async with answering(created) as url, Client([url]) as client:
            watch = await soon(client.watch("a"))
            await watch.close()

    run(test())


def test_a_fault_of_the_library_ends_the_iteration(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("from the test")

    async def test() -> None:
        key = unique()
        async with Client(cluster.endpoints) as client:
            async with client.watch(key) as watch, client.cache(key) as cache:
                async with client.observe(key) as observer:
                    await client.put(key + "/1", "0")
                    await soon(observer.__anext__())
                    await until(lambda: cache.get(key + "/1"), "it watches")
                    changes = cache.events()
                    monkeypatch.setattr(Watch, "_deliver", fail)
                    await client.put(key + "/1", "1")
                    await client.put(key, "1")
                    for reader in (watch, changes, observer):
                        with pytest.raises(RuntimeError, match="from the test"):
                            await soon(reader.__anext__())
                    with pytest.raises(RuntimeError, match="from the test"):
                        cache.get(key)
        failed = {record.args for record in caplog.records if record.name == "conclave_client"}
        assert failed == {
            (f"conclave: {what}",) for what in ("watch", "cache", "observe an election")
        }

    run(test())


def test_a_caller_that_gives_up_does_not_end_the_watch_that_it_asks(cluster: Cluster) -> None:
    async def test() -> None:
        key = unique()
        async with Client(cluster.endpoints) as client, client.watch(key) as watch:
            asking = asyncio.ensure_future(watch._ask_progress())
            # It writes now.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            asking.cancel()
            await client.put(key, "1")
            assert await values(watch, 1) == [b"1"]

    run(test())
