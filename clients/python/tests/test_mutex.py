"""Mutex, fencing and revocation (K1 to K3, R5)."""

from __future__ import annotations

import asyncio
import gc
from typing import List

import pytest
from servers import Cluster
from support import Proxy, run, soon, unique

from conclave_client import api, errors, ops
from conclave_client.aio import Client, OwnerEvent


async def wait_for_contenders(client: Client, name: str, count: int) -> None:
    while len(await client.contenders(name)) != count:
        pass


def test_mutual_exclusion_in_turn(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        order: List[int] = []
        tokens: List[int] = []
        async with Client(cluster.endpoints) as client:
            sessions = [await client.session(10) for _ in range(4)]
            first = sessions[0].mutex(name)
            await first.lock()

            async def contend(n: int) -> None:
                async with sessions[n].mutex(name) as mutex:
                    order.append(n)
                    tokens.append(mutex.token)
                    assert (await client.contenders(name))[0].key == mutex.key

            waiting = []
            for n in (2, 1, 3):
                waiting.append(asyncio.ensure_future(contend(n)))
                await wait_for_contenders(client, name, len(waiting) + 1)
            assert not order
            await first.unlock()
            await soon(asyncio.gather(*waiting))
            assert order == [2, 1, 3]
            assert tokens == sorted(tokens)
            assert tokens[0] > first.token

    run(test())


def test_the_keys_are_those_of_etcd(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        async with Client(cluster.endpoints) as client, client.session(10) as session:
            async with session.mutex(name) as mutex:
                (kv,) = (await client.list(name)).kvs
                assert kv.key == mutex.key == f"{name}/{session.lease:x}".encode()
                assert kv.value == b""
                assert kv.create_revision == mutex.token
                # The API's own lock waits for ours.
                request = api.lock.LockRequest(name=name.encode(), lease=session.lease)
                assert (await client.call(api.methods.LOCK_LOCK, request)).key == kv.key

    run(test())


def test_reentrant(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        async with Client(cluster.endpoints) as client, client.session(10) as session:
            mutex, same = session.mutex(name), session.mutex(name)
            await mutex.lock()
            await mutex.lock()
            await same.lock()
            assert mutex.token == same.token
            await mutex.unlock()
            await mutex.unlock()
            assert not mutex.held
            assert same.held
            with pytest.raises(errors.InvalidError):
                await mutex.unlock()
            await same.unlock()
            assert await client.contenders(name) == []

    run(test())


def test_try_and_timeout_and_cancel_leave_no_key(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        async with Client(cluster.endpoints) as client:
            async with client.session(10) as holder, client.session(10) as other:
                mutex = other.mutex(name)
                async with holder.mutex(name):
                    assert not await mutex.try_lock()
                    assert len(await client.contenders(name)) == 1
                    with pytest.raises(errors.DeadlineError):
                        await mutex.lock(timeout=0.2)
                    assert len(await client.contenders(name)) == 1
                    waiting = asyncio.ensure_future(mutex.lock())
                    await wait_for_contenders(client, name, 2)
                    waiting.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await soon(waiting)
                    assert len(await client.contenders(name)) == 1
                assert await mutex.try_lock()
                await mutex.unlock()

    run(test())


def test_cancelled_at_any_moment(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        async with Client(cluster.endpoints) as client, client.session(10) as session:
            for turns in range(60):
                locking = asyncio.ensure_future(session.mutex(name).lock())
                for _ in range(turns):
                    await asyncio.sleep(0)
                if locking.cancel():
                    with pytest.raises(asyncio.CancelledError):
                        await soon(locking)
                else:
                    await session.mutex(name)._place.give_back()
                assert await client.contenders(name) == [], turns

    run(test())


def test_fencing(cluster: Cluster) -> None:
    async def test() -> None:
        name, key = unique(), unique()
        async with Client(cluster.endpoints) as client, client.session(10) as session:
            mutex = session.mutex(name)
            await mutex.lock()
            guard = [ops.owner(mutex.key, mutex.token)]
            assert (await client.txn(guard, [ops.put(key, "1")])).succeeded
            await mutex.unlock()
            assert not (await client.txn(guard, [ops.put(key, "2")])).succeeded
            await mutex.lock()
            assert not (await client.txn(guard, [ops.put(key, "3")])).succeeded
            await mutex.unlock()

    run(test())


def test_revocation(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        async with Client(cluster.endpoints) as client, client.session(10) as session:
            assert not await client.revoke(name)
            async with session.mutex(name) as mutex:
                assert await client.revoke(name)
                # Also for one that listens later.
                events = mutex.events()
                assert await soon(events.__anext__()) is OwnerEvent.REVOKE
                assert mutex.held
                assert await client.revoke(name)
                assert await soon(events.__anext__()) is OwnerEvent.REVOKE

    run(test())


def test_a_deleted_key_is_lost(cluster: Cluster) -> None:
    async def test() -> None:
        async with Client(cluster.endpoints) as client, client.session(10) as session:
            mutex = session.mutex(unique())
            await mutex.lock()
            events = mutex.events()
            await client.delete(mutex.key)
            assert await soon(events.__anext__()) is OwnerEvent.LOST
            assert not mutex.held
            await soon(mutex.wait_lost())
            with pytest.raises(errors.SessionLostError):
                await mutex.unlock()
            other = session.mutex(mutex.key.rsplit(b"/", 1)[0])
            await mutex.lock()
            await client.delete(mutex.key)
            await soon(mutex.wait_lost())
            await other.lock()
            # The other handle's, not this one's.
            assert other.held
            assert not mutex.held
            assert other.token > mutex.token
            await other.unlock()

    run(test())


def test_lock_again_after_the_key_was_deleted(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        async with Client(cluster.endpoints) as client:
            async with client.session(10) as session, client.session(10) as other:
                mutex, same = session.mutex(name), session.mutex(name)
                await mutex.lock()
                token = mutex.token
                await client.delete(mutex.key)
                async with other.mutex(name):
                    assert not await mutex.try_lock()
                    assert not mutex.held
                    waiting = asyncio.ensure_future(same.lock())
                    await wait_for_contenders(client, name, 2)
                await soon(waiting)
                assert same.token > token
                # The former ownership is not part of the new one.
                with pytest.raises(errors.SessionLostError):
                    await mutex.unlock()
                assert same.held
                await same.unlock()
                assert await client.contenders(name) == []

    run(test())


def test_a_lock_whose_handle_is_garbage_is_held(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        async with Client(cluster.endpoints) as client, client.session(10) as session:
            await session.mutex(name).lock()
            gc.collect()
            mutex = session.mutex(name)
            await mutex.lock()
            await mutex.unlock()
            # The one that is garbage has not unlocked.
            assert len(await client.contenders(name)) == 1
            await mutex._place.give_back()
            del mutex
            gc.collect()
            assert not session._own_keys

    run(test())


def test_waiting_outlives_broken_connections(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        async with Proxy(cluster.members[0].port) as proxy:
            async with Client([proxy.url]) as client, Client(cluster.endpoints) as other:
                async with client.session(10) as session, other.session(10) as holder:
                    async with holder.mutex(name):
                        waiting = asyncio.ensure_future(session.mutex(name).lock())
                        await wait_for_contenders(other, name, 2)
                        proxy.cut()
                    await soon(waiting)
                    await session.mutex(name)._place.give_back()

    run(test())


def test_try_while_another_task_of_the_session_waits(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        async with Client(cluster.endpoints) as client:
            async with client.session(10) as holder, client.session(10) as other:
                mutex = other.mutex(name)
                async with holder.mutex(name):
                    waiting = asyncio.ensure_future(mutex.lock())
                    await wait_for_contenders(client, name, 2)
                    assert not await soon(mutex.try_lock())
                    assert not await soon(other.mutex(name).try_lock())
                    assert not waiting.done()
                await soon(waiting)
                assert await soon(mutex.try_lock())
                await mutex.unlock()
                await mutex.unlock()

    run(test())


def test_another_recipe_with_the_same_key(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        async with Client(cluster.endpoints) as client:
            async with client.session(10) as session, client.session(10) as other:
                mutex, election = session.mutex(name), session.election(name)
                group = client.group(name)
                async with mutex:
                    with pytest.raises(errors.InvalidError):
                        await soon(election.campaign("1"))
                    with pytest.raises(errors.InvalidError):
                        await soon(group.join(session, session.lease_hex)._work)
                    assert mutex.held
                await election.campaign("1")
                with pytest.raises(errors.InvalidError):
                    await mutex.lock()
                await election.resign()
                async with other.mutex(name):
                    waiting = asyncio.ensure_future(election.campaign("1"))
                    await wait_for_contenders(client, name, 2)
                    with pytest.raises(errors.InvalidError):
                        await soon(mutex.lock())
                    waiting.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await soon(waiting)
                async with group.join(session, session.lease_hex):
                    with pytest.raises(errors.InvalidError):
                        await mutex.try_lock()
                async with mutex:
                    pass
                assert await client.contenders(name) == []

    run(test())
