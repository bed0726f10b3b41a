"""Read-write lock, semaphore, barriers, latch, counter, value, group, discovery (K4 to K14)."""

from __future__ import annotations

import asyncio
import gc
import json
from typing import List

import pytest
from servers import Cluster
from support import run, soon, unique

from conclave_client import errors
from conclave_client._keys import Data
from conclave_client.aio import Client, OwnerEvent


async def keys(client: Client, prefix: str, count: int) -> None:
    while len((await client.list(prefix)).kvs) != count:
        pass


def test_readers_share_and_writers_do_not(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        async with Client(cluster.endpoints) as client:
            a, b, c = [await client.session(10) for _ in range(3)]
            async with a.rwlock(name).read as first, b.rwlock(name).read as second:
                assert first.held
                assert second.held
                assert not await c.rwlock(name).write.try_lock()
                writer = c.rwlock(name).write
                writing = asyncio.ensure_future(writer.lock())
                await keys(client, name, 3)
                # A later reader waits for the writer before it.
                assert await client.session(10) is not None
                late = (await client.session(10)).rwlock(name).read
                assert not await late.try_lock()
            await soon(writing)
            assert writer.key == f"{name}/write/{c.lease_hex}".encode()
            reading = asyncio.ensure_future(late.lock())
            await keys(client, name, 2)
            await writer.unlock()
            await soon(reading)
            await late.unlock()
            assert (await client.list(name)).kvs == []

    run(test())


def test_downgrade_and_no_upgrade(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        async with Client(cluster.endpoints) as client, client.session(10) as session:
            lock = session.rwlock(name)
            await lock.write.lock()
            await soon(lock.read.lock())
            await lock.write.unlock()
            assert lock.read.held
            with pytest.raises(errors.InvalidError, match="reader"):
                await lock.write.lock()
            await lock.read.unlock()

    run(test())


async def writers(client: Client, name: str, count: int) -> None:
    await keys(client, f"{name}/write/", count)


def test_downgrade_beside_a_waiting_writer(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        async with Client(cluster.endpoints) as client:
            a, b = [(await client.session(10)).rwlock(name) for _ in range(2)]
            await a.write.lock()
            waiting = asyncio.ensure_future(b.write.lock())
            await writers(client, name, 2)
            await soon(a.read.lock())
            assert await a.read.try_lock()
            await a.read.unlock()
            await a.write.unlock()
            assert not a.write.held
            assert a.read.held
            # Its key stays until the reader has unlocked.
            assert (await client.get(a.write.key)).kv is not None
            with pytest.raises(errors.InvalidError, match="reader"):
                await a.write.lock()
            assert not waiting.done()
            await a.read.unlock()
            assert (await client.get(a.write.key)).kv is None
            await soon(waiting)
            assert b.write.held
            await b.write.unlock()
            assert (await client.list(name)).kvs == []

    run(test())


def test_downgrade_lets_other_readers_in(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        async with Client(cluster.endpoints) as client:
            a, b, c = [(await client.session(10)).rwlock(name) for _ in range(3)]
            await a.write.lock()
            await a.read.lock()
            # A writer that comes after the reader waits for it, so the write key need not stay.
            waiting = asyncio.ensure_future(b.write.lock())
            await writers(client, name, 2)
            await a.write.unlock()
            assert (await client.get(a.write.key)).kv is None
            assert not waiting.done()
            waiting.cancel()
            await asyncio.wait({waiting})
            assert await c.read.try_lock()

    run(test())


def test_the_write_key_of_a_downgrade_goes_with_a_lost_reader(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        async with Client(cluster.endpoints) as client:
            a, b = [(await client.session(10)).rwlock(name) for _ in range(2)]
            await a.write.lock()
            waiting = asyncio.ensure_future(b.write.lock())
            await writers(client, name, 2)
            await a.read.lock()
            events = a.read.events()
            await a.write.unlock()
            await client.delete(a.read.key)
            assert await soon(events.__anext__()) is OwnerEvent.LOST
            await soon(waiting)

    run(test())


def test_a_lost_writer_does_not_let_its_reader_in(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        async with Client(cluster.endpoints) as client:
            a, b = [(await client.session(10)).rwlock(name) for _ in range(2)]
            await a.write.lock()
            await client.delete(a.write.key)
            await b.write.lock()
            assert not await a.read.try_lock()
            assert not a.write.held

    run(test())


def test_a_waiting_reader_is_let_in_when_its_session_writes(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        async with Client(cluster.endpoints) as client:
            a, b, c = [(await client.session(10)).rwlock(name) for _ in range(3)]
            await c.write.lock()
            writing = asyncio.ensure_future(a.write.lock())
            await writers(client, name, 2)
            waiting = asyncio.ensure_future(b.write.lock())
            await writers(client, name, 3)
            reading = asyncio.ensure_future(a.read.lock())
            await keys(client, f"{name}/read/", 1)
            await c.write.unlock()
            await soon(writing)
            await soon(reading)
            await a.write.unlock()
            assert not waiting.done()
            await a.read.unlock()
            await soon(waiting)

    run(test())


def test_a_permit_that_is_garbage_is_held(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        async with Client(cluster.endpoints) as client, client.session(10) as session:
            semaphore = session.semaphore(name, 1)
            await semaphore.acquire()
            gc.collect()
            assert await semaphore.try_acquire() is None
            assert len((await client.list(name)).kvs) == 1

    run(test())


def test_a_permit_that_is_released_twice_frees_no_other(cluster: Cluster) -> None:
    async def test() -> None:
        async with Client(cluster.endpoints) as client, client.session(10) as session:
            semaphore = session.semaphore(unique(), 1)
            first = await semaphore.acquire()
            await first.release()
            second = await semaphore.acquire()
            with pytest.raises(errors.InvalidError):
                await first.release()
            assert await semaphore.try_acquire() is None
            assert second.held

    run(test())


def test_semaphore(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        async with Client(cluster.endpoints) as client:
            async with client.session(10) as one, client.session(10) as two:
                semaphore = one.semaphore(name, 2)
                first = await semaphore.acquire()
                second = await semaphore.acquire()
                assert first.key == f"{name}/{one.lease_hex}/0".encode()
                assert second.key == f"{name}/{one.lease_hex}/1".encode()
                assert await two.semaphore(name, 2).try_acquire() is None
                with pytest.raises(errors.DeadlineError):
                    await two.semaphore(name, 2).acquire(timeout=0.1)
                with pytest.raises(errors.InvalidError, match="2 permits"):
                    await two.semaphore(name, 3).acquire()
                await keys(client, name, 2)
                waiting = [
                    asyncio.ensure_future(two.semaphore(name, 2)._acquire(None)) for _ in range(2)
                ]
                await keys(client, name, 4)
                # Not the holder just before the waiters.
                await first.release()
                done, _ = await soon(asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED))
                assert len(done) == 1
                await second.release()
                third, fourth = await soon(asyncio.gather(*waiting))
                assert third.held
                assert fourth.held
                await third.release()
                async with semaphore.acquire() as permit:
                    assert permit.token > fourth.token
                await fourth.release()
                assert (await client.list(name)).kvs == []
                again = await semaphore.try_acquire()
                assert again is not None
                assert again.key == first.key

    run(test())


def test_barrier(cluster: Cluster) -> None:
    async def test() -> None:
        async with Client(cluster.endpoints) as client:
            barrier = client.barrier(unique())
            await barrier.wait()
            await barrier.hold()
            await barrier.hold()
            with pytest.raises(errors.DeadlineError):
                await barrier.wait(timeout=0.1)
            waiting = asyncio.ensure_future(barrier.wait())
            await asyncio.sleep(0)
            await barrier.release()
            await soon(waiting)

    run(test())


def test_double_barrier_can_be_used_again(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        async with Client(cluster.endpoints) as client:
            sessions = [await client.session(10) for _ in range(3)]
            barriers = [session.double_barrier(name, 3) for session in sessions]
            with pytest.raises(errors.DeadlineError):
                await barriers[0].enter(timeout=0.1)
            assert (await client.list(name)).kvs == []
            for _ in range(2):
                entering = [asyncio.ensure_future(b.enter()) for b in barriers[:2]]
                await keys(client, name + "/waiters/", 2)
                assert not any(task.done() for task in entering)
                await soon(barriers[2].enter())
                await soon(asyncio.gather(*entering))
                leaving = [asyncio.ensure_future(b.leave()) for b in barriers[1:]]
                await asyncio.sleep(0)
                extra = (await client.session(10)).double_barrier(name, 1)
                with pytest.raises(errors.InvalidError):
                    await soon(extra.enter())
                assert not any(task.done() for task in leaving)
                await soon(barriers[0].leave())
                await soon(asyncio.gather(*leaving))
                assert (await client.list(name)).kvs == []

    run(test())


def test_a_double_barrier_is_not_opened_by_a_former_round(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        async with Client(cluster.endpoints) as client:
            # The last one of that round has left without deleting it.
            await client.put(name + "/ready", "")
            sessions = [await client.session(10) for _ in range(2)]
            one, two = (session.double_barrier(name, 2) for session in sessions)
            with pytest.raises(errors.DeadlineError):
                await one.enter(timeout=0.3)
            entering = asyncio.ensure_future(one.enter())
            await keys(client, name + "/waiters/", 1)
            await soon(two.enter())
            await soon(entering)

    run(test())


def test_latch(cluster: Cluster) -> None:
    async def test() -> None:
        async with Client(cluster.endpoints) as client:
            latch = client.latch(unique())
            with pytest.raises(errors.InvalidError, match="create"):
                await latch.count_down()
            waiting = asyncio.ensure_future(latch.wait())
            assert await latch.create(3)
            assert not await latch.create(5)
            left = await asyncio.gather(*(latch.count_down() for _ in range(2)))
            assert sorted(left) == [1, 2]
            assert not waiting.done()
            assert await latch.count_down() == 0
            assert await latch.count_down() == 0
            await soon(waiting)

    run(test())


def test_counter(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        async with Client(cluster.endpoints) as client:
            counter = client.counter(name)
            assert await counter.get() == 0
            await asyncio.gather(*(counter.add(1) for _ in range(10)))
            assert await counter.add(-12) == -2
            assert not await counter.compare_and_set(0, 5)
            assert await counter.compare_and_set(-2, 5)
            with pytest.raises(errors.InvalidError, match="64 bits"):
                await counter.add((1 << 63) - 1)
            for text, number in (("+5", 5), ("-007", -7)):
                await client.put(name, text)
                assert await counter.get() == number
            for wrong in (
                "five",
                "",
                " 1_000 ",
                "1_000",
                " 1",
                "1\n",
                "\u0661",
                20 * "9",
                5000 * "9",
            ):
                await client.put(name, wrong)
                with pytest.raises(errors.InvalidError, match="decimal"):
                    await counter.get()

    run(test())


def test_value(cluster: Cluster) -> None:
    async def test() -> None:
        async with Client(cluster.endpoints) as client:
            value = client.value(unique())
            assert await value.get() is None
            first = await value.compare_and_set(0, "1")
            assert first.swapped
            assert not (await value.compare_and_set(0, "2")).swapped
            async with value.listen(revision=first.revision) as watch:
                second = await value.compare_and_set(first.revision, "2")
                assert second.swapped
                assert (
                    await value.compare_and_set(first.revision, "3")
                ).revision == second.revision
                assert [(await soon(watch.__anext__())).events[0].value for _ in "12"] == [
                    b"1",
                    b"2",
                ]
            revision = await value.set("4")
            got = await value.get()
            assert got is not None
            assert (got.value, got.revision) == (b"4", revision)

    run(test())


def test_group(cluster: Cluster) -> None:
    async def test() -> None:
        async with Client(cluster.endpoints) as client:
            group = client.group(unique())
            async with client.session(10) as one:
                async with client.session(10) as two, group.listen() as cache:
                    events = cache.events()
                    await group.join(one, "a", "1")
                    member = await group.join(two, "b", "2")
                    assert await group.members() == {"a": b"1", "b": b"2"}
                    await member.update("3")
                    assert (await group.members())["b"] == b"3"
                    for _ in range(3):
                        await soon(events.__anext__())
                    assert len(cache.list()) == 2
                assert await group.members() == {"a": b"1"}
                async with group.join(one, "c"):
                    assert len(await group.members()) == 2
                assert len(await group.members()) == 1
                await group.join(one, b"\xff")
                await group.join(one, b"\xfe")
                assert set(await group.members()) == {"a", "\\xff", "\\xfe"}

    run(test())


def test_discovery(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        async with Client(cluster.endpoints) as client, client.session(10) as session:
            service = client.service(name)
            async with service.register(session, "10.0.0.2:80", {"zone": "a"}):
                await service.register(session, "10.0.0.1:80")
                wrong: List[Data] = ["not JSON", '{"Addr":5}', "{}", "[]", "5", b"\xff", 5000 * "["]
                for n, value in enumerate(wrong):
                    await client.put(f"{name}/wrong{n}", value)
                addresses = await service.list()
                assert [a.address for a in addresses] == ["10.0.0.1:80", "10.0.0.2:80"]
                assert addresses[1].metadata == {"zone": "a"}
                got = await client.get(f"{name}/10.0.0.1:80")
                assert got.kv is not None
                assert json.loads(got.kv.value) == {
                    "Op": 0,
                    "Addr": "10.0.0.1:80",
                    "Metadata": None,
                }
            assert [a.address for a in await service.list()] == ["10.0.0.1:80"]

    run(test())


def test_a_member_that_joins_again_leaves_with_the_last_handle(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        async with Client(cluster.endpoints) as client, client.session(10) as session:
            group = client.group(name)
            former = await group.join(session, "a", "1")
            last = await group.join(session, "a", "2")
            await former.leave()
            with pytest.raises(errors.SessionLostError):
                await former.update("3")
            assert await group.members() == {"a": b"2"}
            await last.update("4")
            assert await group.members() == {"a": b"4"}
            await last.leave()
            assert await group.members() == {}

    run(test())
