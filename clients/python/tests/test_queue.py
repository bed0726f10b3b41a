"""Queue (K10)."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from servers import Cluster
from support import run, soon, unique

from conclave_client import errors
from conclave_client.aio import Client
from conclave_client.types import TxnResult


def test_order(cluster: Cluster) -> None:
    async def test() -> None:
        async with Client(cluster.endpoints) as client, client.session(10) as session:
            queue = client.queue(unique())
            for n in range(5):
                await queue.put(f"second {n}", priority=2)
            await queue.put("first", priority=1)
            got = []
            for _ in range(6):
                async with queue.take(session) as item:
                    got.append(item.value.decode())
            assert got == ["first", *(f"second {n}" for n in range(5))]
            with pytest.raises(errors.DeadlineError):
                await queue.take(session, timeout=0.1)

    run(test())


def test_a_delay_is_kept(cluster: Cluster) -> None:
    async def test() -> None:
        async with Client(cluster.endpoints) as client, client.session(10) as session:
            queue = client.queue(unique())
            began = time.monotonic()
            await queue.put("late", delay=0.5)
            item = await soon(queue._take(session, None))
            assert item.value == b"late"
            assert time.monotonic() - began >= 0.49

    run(test())


def test_claims(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        async with Client(cluster.endpoints) as client, client.session(10) as two:
            queue = client.queue(name)
            await queue.put("1")
            async with client.session(10) as one:
                item = await queue.take(one)
                waiting = asyncio.ensure_future(queue._take(two, None))
                (claim,) = (await client.list(f"{name}/claims/")).kvs
                (key,) = (await client.list(f"{name}/items/")).kvs
                assert claim.lease == one.lease
                assert claim.key.split(b"/")[-1] == key.key.split(b"/")[-1]
                assert not waiting.done()
            # The end of the session has freed the claim.
            again = await soon(waiting)
            assert again.value == b"1"
            assert not await item.ack()
            assert await again.release()
            third = await soon(queue._take(two, None))
            assert await third.ack()
            assert (await client.list(name)).kvs == []

    run(test())


def test_many_takers_share_the_items(cluster: Cluster) -> None:
    async def test() -> None:
        async with Client(cluster.endpoints) as client:
            queue = client.queue(unique())
            sessions = [await client.session(10) for _ in range(3)]
            got: list[bytes] = []

            async def work(n: int) -> None:
                for _ in range(5):
                    async with queue.take(sessions[n]) as item:
                        got.append(item.value)

            working = asyncio.gather(*(work(n) for n in range(3)))
            for n in range(15):
                await queue.put(str(n))
            await soon(working)
            assert sorted(got) == sorted(str(n).encode() for n in range(15))

    run(test())


def test_takers_of_one_session_share_the_items(cluster: Cluster) -> None:
    async def test() -> None:
        async with Client(cluster.endpoints) as client, client.session(10) as session:
            queue = client.queue(unique())
            for n in range(5):
                await queue.put(str(n))
            items = await soon(asyncio.gather(*(queue._take(session, None) for _ in range(5))))
            assert sorted(item.value for item in items) == [b"0", b"1", b"2", b"3", b"4"]
            assert all([await item.ack() for item in items])

    run(test())


def test_a_claim_whose_answer_was_lost_is_found(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        async with Client(cluster.endpoints) as client, client.session(10) as session:
            queue = client.queue(name)
            await queue.put("1")
            core = client._started()
            call = core.call
            lost = 0

            async def losing(method: Any, request: Any, *args: Any, **options: Any) -> Any:
                nonlocal lost
                result = await call(method, request, *args, **options)
                if options.get("fate") is not None and not lost:
                    lost += 1
                    raise errors.MaybeHappenedError("the answer was lost")
                return result

            core.call = losing  # type: ignore[method-assign]
            item = await soon(queue._take(session, None))
            assert lost == 1
            assert item.value == b"1"
            assert await item.ack()

    run(test())


def test_an_item_whose_ack_failed_is_still_claimed(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        async with Client(cluster.endpoints) as client, client.session(10) as session:
            queue = client.queue(name)
            await queue.put("1")
            commit = client.txn

            async def failing(*steps: Any, **options: Any) -> TxnResult:
                client.txn = commit  # type: ignore[method-assign]
                raise errors.UnavailableError("no endpoint")

            async def work() -> None:
                async with queue.take(session) as item:
                    client.txn = failing  # type: ignore[method-assign]
                    await item.ack()

            with pytest.raises(errors.UnavailableError):
                await work()
            # The end of the block has released it.
            assert (await client.list(f"{name}/claims/")).kvs == []

    run(test())


def test_a_cancelled_take_leaves_no_claim(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        async with Client(cluster.endpoints) as client, client.session(10) as session:
            queue = client.queue(name)
            await queue.put("1")
            for turns in range(0, 60, 3):
                taking = asyncio.ensure_future(queue._take(session, None))
                for _ in range(turns):
                    await asyncio.sleep(0)
                if taking.cancel():
                    with pytest.raises(asyncio.CancelledError):
                        await soon(taking)
                else:
                    await taking.result().release()
                assert (await client.list(f"{name}/claims/")).kvs == [], turns

    run(test())


def test_wrong_arguments(cluster: Cluster) -> None:
    async def test() -> None:
        async with Client(cluster.endpoints) as client:
            queue = client.queue(unique())
            with pytest.raises(errors.InvalidError):
                await queue.put("1", priority=100_000)
            with pytest.raises(errors.InvalidError):
                await queue.put("1", delay=-1)

    run(test())
