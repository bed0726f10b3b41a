"""Queue (K10)."""

from __future__ import annotations

import asyncio
import time

import pytest
from servers import Cluster
from support import run, soon, unique

from conclave_client import errors
from conclave_client.aio import Client


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
