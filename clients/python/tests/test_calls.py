"""Calls, their deadlines and their attempts (C2, R1 to R5, R7)."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any, Coroutine

import grpc
import pytest
from servers import Cluster, free_port
from support import Proxy, aim, answering, closes_connections, run, soon, unique, until

from conclave_client import api, errors, ops
from conclave_client._calls import Fate
from conclave_client.aio import Client, Session
from conclave_client.types import GetResult


def test_values(cluster: Cluster) -> None:
    async def test() -> None:
        async with Client(cluster.endpoints) as client:
            key = unique()
            assert (await client.get(key)).kv is None
            put = await client.put(key, "1")
            got = await client.get(key)
            assert got.kv is not None
            assert (got.kv.value, got.kv.mod_revision) == (b"1", put.revision)
            await client.put(key, "2")
            old = await client.get(key, revision=put.revision)
            assert old.kv is not None
            assert old.kv.value == b"1"
            assert [kv.value for kv in (await client.list(key)).kvs] == [b"2"]
            done = await client.txn(
                [ops.compare(key, "value", "=", "2")], [ops.put(key, "3"), ops.get(key)]
            )
            assert done.succeeded
            read = done.results[1]
            assert isinstance(read, GetResult)
            assert read.kv is not None
            assert read.kv.value == b"3"
            assert (await client.delete(key)).deleted == 1
            assert (await client.delete(key, prefix=True)).deleted == 0

    run(test())


def test_errors_of_the_api(cluster: Cluster) -> None:
    async def test() -> None:
        async with Client(cluster.endpoints) as client:
            with pytest.raises(errors.ApiError) as caught:
                await client.put("a", "1", lease=4711)
            assert (caught.value.name, caught.value.maybe) == ("LeaseNotFound", False)
            with pytest.raises(errors.ApiError) as caught:
                await client.get("a", revision=1 << 40)
            assert caught.value.name == "FutureRev"

    run(test())


def test_wrong_arguments(cluster: Cluster) -> None:
    async def test() -> None:
        async with Client(cluster.endpoints) as client:
            with pytest.raises(errors.InvalidError, match="empty"):
                await client.put("", "1")
            with pytest.raises(errors.InvalidError):
                await client.put("a", 1)  # type: ignore[arg-type]
            with pytest.raises(errors.InvalidError):
                await client.get("a", timeout=0)
            with pytest.raises(errors.InvalidError):
                await client.get("a", revision=1 << 70)
            with pytest.raises(errors.InvalidError):
                await client.get("\ud800")
            await client.get("a", timeout=float("inf"))
            with pytest.raises(errors.InvalidError):
                ops.compare("a", "version", "=", 1 << 70)
            with pytest.raises(errors.InvalidError):
                ops.compare("a", "value", "=", 1)
            with pytest.raises(errors.InvalidError):
                ops.compare("a", "color", "=", 1)
            with pytest.raises(errors.InvalidError):
                ops.compare("a", "version", "~", 1)
            with pytest.raises(errors.InvalidError):
                await client.session(10, timeout=-1)
            async with client.session(10) as session:
                for wrong in (lambda: session.mutex(""), lambda: session.semaphore("a", 0)):
                    with pytest.raises(errors.InvalidError):
                        wrong()
                with pytest.raises(errors.InvalidError):
                    await session.mutex(unique()).lock(timeout=0)
            with pytest.raises(errors.InvalidError):
                await client.session(ttl=-1)

    run(test())


def test_nobody_there_is_unavailable_at_the_deadline() -> None:
    async def test() -> None:
        async with Client([f"http://127.0.0.1:{free_port()}"]) as client:
            for call in (client.get("a", timeout=0.3), client.put("a", "1", timeout=0.3)):
                began = time.monotonic()
                with pytest.raises(errors.UnavailableError, match="refused") as caught:
                    await call
                assert 0.25 < time.monotonic() - began < 1.5
                assert not caught.value.maybe

    run(test())


def test_calls_are_spread_over_the_endpoints(cluster: Cluster) -> None:
    async def test() -> None:
        port = cluster.members[0].port
        async with Proxy(port) as one, Proxy(port) as two:
            async with Client([one.url, two.url]) as client:
                for _ in range(4):
                    await client.get("a")
                assert (one.accepted, two.accepted) == (1, 1)

    run(test())


def test_a_dead_endpoint_costs_no_call_and_comes_back(cluster: Cluster) -> None:
    async def test() -> None:
        dead = free_port()
        urls = [f"http://127.0.0.1:{dead}", *cluster.endpoints]
        async with Client(urls) as client:
            for _ in range(10):
                await client.put(unique(), "1")
            endpoint = client._started().rotation.endpoints[0]
            assert not endpoint.in_rotation
            async with Proxy(cluster.members[0].port) as proxy:
                assert proxy._server is not None
                server = await asyncio.start_server(proxy._serve, "127.0.0.1", dead)
                await until(lambda: endpoint.in_rotation, "the probe brings it back")
                server.close()

    run(test())


def test_a_read_leaves_a_silent_endpoint(cluster: Cluster) -> None:
    async def test() -> None:
        async with Proxy(cluster.members[0].port) as proxy:
            async with Client([proxy.url, *cluster.endpoints]) as client:
                for _ in range(4):
                    await client.get("a")
                endpoint = client._started().rotation.endpoints[0]
                proxy.hold()
                began = time.monotonic()
                # One of them goes to the silent endpoint first: half its deadline is the limit.
                await asyncio.gather(*(client.get("a", timeout=1) for _ in range(2)))
                assert 0.4 < time.monotonic() - began < 1
                assert not endpoint.in_rotation
                began = time.monotonic()
                for _ in range(4):
                    await client.get("a")
                assert time.monotonic() - began < 0.4
                proxy.pass_on()
                await until(lambda: endpoint.in_rotation, "it answers the probe")

    run(test())


def test_a_write_that_was_sent_may_have_happened(cluster: Cluster) -> None:
    async def test() -> None:
        key = unique()
        async with Proxy(cluster.members[0].port) as proxy:
            async with Client([proxy.url, *cluster.endpoints]) as client:
                await aim(client, proxy.url)
                proxy.hold()
                with pytest.raises(errors.MaybeHappenedError) as caught:
                    await client.put(key, "1", timeout=0.5)
                assert caught.value.maybe

    run(test())


def test_a_write_that_can_be_sent_again(cluster: Cluster) -> None:
    async def test() -> None:
        async with Proxy(cluster.members[0].port) as proxy:
            async with Client([proxy.url, *cluster.endpoints]) as client:
                core = client._started()
                request = api.rpc.PutRequest(key=unique().encode())

                async def put() -> bool:
                    fate = Fate()
                    await soon(core.call(api.methods.KV_PUT, request, fate=fate))
                    return fate.unsettled

                assert not await put()
                closes_connections(client, 1)
                assert not await put()
                # The connection breaks, or the endpoint is silent.
                for then in (proxy.cut, lambda: None):
                    await aim(client, proxy.url)
                    proxy.hold()
                    putting = asyncio.ensure_future(put())
                    await until(lambda: proxy.kept, "the request is on its way")
                    then()
                    assert await putting
                    proxy.pass_on()

    run(test())


@pytest.mark.parametrize(
    ("codes", "write", "read"),
    [
        ("UNAVAILABLE UNKNOWN INTERNAL ABORTED DATA_LOSS", "maybe", "unavailable"),
        ("DEADLINE_EXCEEDED CANCELLED", "maybe", "deadline"),
        ("UNIMPLEMENTED RESOURCE_EXHAUSTED", "api", "api"),
    ],
)
def test_a_status_outside_the_table_is_judged_by_its_code(
    codes: str, write: str, read: str
) -> None:
    for code in codes.split():
        for is_write, kind in ((True, write), (False, read)):
            error = errors.from_status(grpc.StatusCode[code], "no such text", write=is_write)
            assert (error.kind, error.name) == (kind, ""), code
            assert error.maybe is (kind == "maybe"), code


def test_a_write_on_a_connection_that_breaks_may_have_happened(cluster: Cluster) -> None:
    async def test() -> None:
        async with Proxy(cluster.members[0].port) as proxy, Client([proxy.url]) as client:
            await client.get("a")
            proxy.hold()
            put = asyncio.ensure_future(client.put(unique(), "1"))
            # The request is on its way when the held proxy has read it.
            await until(lambda: client._started().rotation.endpoints[0]._connection, "sent")
            await until(lambda: proxy.kept, "the request is on its way")
            proxy.cut()
            with pytest.raises(errors.MaybeHappenedError):
                await soon(put)
            proxy.pass_on()

    run(test())


def test_a_read_goes_on_when_its_connection_breaks(cluster: Cluster) -> None:
    async def test() -> None:
        async with Proxy(cluster.members[0].port) as proxy, Client([proxy.url]) as client:
            await client.get("a")
            proxy.hold()
            get = asyncio.ensure_future(client.get("a"))
            await until(lambda: proxy.kept, "the request is on its way")
            proxy.pass_on()
            proxy.cut()
            await soon(get)

    run(test())


def test_an_unanswered_read_ends_at_the_deadline(cluster: Cluster) -> None:
    async def test() -> None:
        async with Proxy(cluster.members[0].port) as proxy, Client([proxy.url]) as client:
            await client.get("a")
            proxy.hold()
            with pytest.raises(errors.DeadlineError) as caught:
                await client.get("a", timeout=0.3)
            assert not caught.value.maybe
            proxy.pass_on()

    run(test())


def test_cancellation(cluster: Cluster) -> None:
    async def test() -> None:
        async with Proxy(cluster.members[0].port) as proxy, Client([proxy.url]) as client:

            async def may_have_happened(work: Coroutine[Any, Any, object]) -> bool:
                try:
                    await work
                except asyncio.CancelledError as error:
                    return bool(getattr(error, "maybe", False))
                raise AssertionError("not cancelled")

            await client.get("a")
            for work, expected in ((client.get("a"), False), (client.put("a", "1"), True)):
                proxy.hold()
                call = asyncio.ensure_future(may_have_happened(work))
                await until(lambda: proxy.kept, "the request is on its way")
                call.cancel()
                assert await soon(call) is expected
            proxy.pass_on()

    run(test())


def test_close_ends_what_waits_and_what_follows(cluster: Cluster) -> None:
    async def test() -> None:
        async with Proxy(cluster.members[0].port) as proxy:
            client = Client([proxy.url])
            await client.get("a")
            proxy.hold()
            get = asyncio.ensure_future(client.get("a"))
            await until(lambda: proxy.kept, "the request is on its way")
            began = time.monotonic()
            await client.close()
            with pytest.raises(errors.ClosedError):
                await soon(get)
            assert time.monotonic() - began < 1
            await client.close()
            with pytest.raises(errors.ClosedError):
                await client.get("a")

    run(test())


def test_close_does_not_wait_for_sessions_to_end_calls() -> None:
    async def test(cluster: Cluster) -> None:
        client = Client(cluster.endpoints, timeout=2)
        await client.session(10)
        watch = await client.watch("a")
        cluster.members[0].stop()
        waiting = [
            asyncio.ensure_future(client.get("a")),
            asyncio.ensure_future(watch.__anext__()),
        ]
        await asyncio.sleep(0)
        began = time.monotonic()
        closing = asyncio.ensure_future(client.close())
        for task in waiting:
            with pytest.raises(errors.ClosedError):
                await soon(task)
        assert time.monotonic() - began < 1
        # The lease cannot be revoked: that is tried for as long as a call may take.
        await soon(closing)
        assert 1.5 < time.monotonic() - began < 4

    with Cluster() as cluster:
        run(test(cluster))


def test_a_member_without_a_leader_refuses_and_another_is_asked() -> None:
    async def test(cluster: Cluster) -> None:
        async with Client(cluster.endpoints) as client:
            await client.put("a", "1", timeout=20)
            cluster.members[0].kill()
            for n in range(12):
                try:
                    await client.put("a", str(n), timeout=10)
                except errors.ConclaveError as error:
                    # The write that was under way when the leader was killed, at most.
                    assert error.maybe, error
            got = await client.get("a")
            assert got.kv is not None

    with Cluster(3) as cluster:
        run(test(cluster))


def test_another_event_loop_is_refused(cluster: Cluster) -> None:
    client = Client(cluster.endpoints)

    async def get() -> None:
        await client.get("a")

    async def close() -> None:
        with pytest.raises(errors.InvalidError, match="event loop"):
            await client.get("a")

    async def main() -> None:
        await get()
        await asyncio.get_running_loop().run_in_executor(None, lambda: asyncio.run(close()))
        await client.close()

    run(main())


def test_a_connection_that_breaks_before_the_call_is_sent(cluster: Cluster) -> None:
    async def test() -> None:
        async with Client(cluster.endpoints) as client:
            key = unique()
            await client.get(key)
            for call in (client.put(key, "1"), client.get(key), client.session(10)):
                closed = closes_connections(client, 1)
                done = await call
                assert len(closed) == 1
                if isinstance(done, Session):
                    await done.close()

    run(test())


def test_a_call_that_found_no_connection_was_not_sent(cluster: Cluster) -> None:
    async def test() -> None:
        async with Client(cluster.endpoints) as client:
            await client.get("a")
            closed = closes_connections(client, 1000)
            with pytest.raises(errors.UnavailableError):
                await client.put("a", "1", timeout=0.2)
            put = asyncio.ensure_future(client.put("a", "1"))
            before = len(closed)
            await until(lambda: len(closed) > before, "an attempt has failed")
            put.cancel()
            with pytest.raises(asyncio.CancelledError) as caught:
                await put
            assert not getattr(caught.value, "maybe", False)

    run(test())


def test_an_answer_that_cannot_be_decoded() -> None:
    async def test() -> None:
        async with answering(b"\xff\xff\xff\xff") as url, Client([url]) as client:
            for write in (client.put("a", "1"), client.session(10)):
                with pytest.raises(errors.MaybeHappenedError) as caught:
                    await write
                assert caught.value.maybe
            with pytest.raises(errors.UnavailableError):
                await client.get("a")

    run(test())


def test_a_call_uses_the_connection_that_replaces_a_dead_one(cluster: Cluster) -> None:
    async def test() -> None:
        async with Proxy(cluster.members[0].port) as proxy, Client([proxy.url]) as client:
            await client.get("a")
            proxy.strand()
            await client.get("a", timeout=10)
            proxy.strand()
            request = api.rpc.PutRequest(key=unique().encode())
            fate = Fate()
            await client._started().call(api.methods.KV_PUT, request, 10, fate=fate)
            assert fate.unsettled

    run(test())


def test_the_text_names_an_endpoint_that_does_not_connect() -> None:
    async def test() -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            async with Client([url]) as client:
                with pytest.raises(errors.UnavailableError, match=f"{url}: no connection yet"):
                    await client.get("a", timeout=0.3)

    run(test())
