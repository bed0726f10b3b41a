"""Writes that are sent again, and copies of them that are executed late (R8)."""

from __future__ import annotations

import asyncio
from typing import Any, Callable, List, Optional, Tuple

import pytest
from servers import Cluster
from support import Copies, LateWrite, Proxy, aim, refused, run, soon, unique, until

from conclave_client import api, errors
from conclave_client._calls import Fate
from conclave_client.aio import Client, OwnerEvent
from conclave_client.aio._late import delete_copies
from conclave_client.types import EventType, GetResult


async def content(client: Client, name: str) -> List[Tuple[bytes, bytes, int, int]]:
    kvs = (await client.list(name)).kvs
    return [(kv.key, kv.value, kv.create_revision, kv.mod_revision) for kv in kvs]


async def until_empty(client: Client, prefix: str) -> None:
    async def wait() -> None:
        while await content(client, prefix):
            pass

    await soon(wait())


def test_a_copy_that_hangs_in_a_connection_is_deleted(cluster: Cluster) -> None:
    async def test() -> None:
        async with Proxy(cluster.members[0].port) as proxy:
            urls = [proxy.url, *cluster.endpoints]
            async with Client(urls) as client, Client(cluster.endpoints) as other:
                async with client.session(60) as session, other.session(60) as second:
                    mutex = session.mutex(unique())
                    await aim(client, proxy.url)
                    proxy.hold()
                    await soon(mutex.lock())
                    async with other.watch(mutex.key, revision=mutex.token) as watch:
                        await mutex.unlock()
                        proxy.pass_on()
                        types = [(await soon(watch.__anext__())).events[0].type for _ in range(4)]
                    assert types == 2 * [EventType.PUT, EventType.DELETE]
                    name = mutex.key.rsplit(b"/", 1)[0]
                    async with second.mutex(name):
                        again = asyncio.ensure_future(mutex.lock())
                        while len(await other.contenders(name)) < 2:
                            pass
                    await soon(again)
                    await mutex.unlock()

    run(test())


def test_copies_do_not_bring_back_a_lock(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        async with Client(cluster.endpoints) as client, client.session(60) as session:
            copies = Copies(client)
            rwlock = session.rwlock(name + "rw")
            for lock in (session.mutex(name + "m"), rwlock.read, rwlock.write):
                async with lock:
                    held = (await client.get(lock.key)).kv
                    await copies.arrive()
                    assert (await client.get(lock.key)).kv == held
            async with session.semaphore(name + "s", 1).acquire() as permit:
                key = permit.key
            async with session.semaphore(name + "s", 1).acquire() as permit:
                # Copies of a permit that is held would be taken for the one before.
                assert permit.key != key
            async with session.election(name + "e") as election:
                await election.campaign("1")
            await copies.arrive()
            await until_empty(client, name)

    run(test())


def test_a_copy_is_not_taken_for_a_later_lock(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        async with Client(cluster.endpoints) as client, client.session(60) as session:
            copies = Copies(client)
            mutex = session.mutex(name)
            await mutex.lock()
            await mutex.unlock()
            await mutex.lock()
            held = await content(client, name)
            # A put, which finds the key, and a deletion, which is of the former one.
            await copies.arrive()
            assert await content(client, name) == held
            await mutex.unlock()

    run(test())


def test_a_copy_that_a_contender_has_found_is_held(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        async with Client(cluster.endpoints) as client, client.session(60) as session:
            copies = Copies(client)
            mutex = session.mutex(name)
            await mutex.lock()
            await mutex.unlock()
            async with mutex._place.lock:
                locking = asyncio.ensure_future(mutex.lock())
                await asyncio.sleep(0)
                await copies.arrive()
                (copy,) = await client.contenders(name)
                # Both the contender and the deletion wait, in this order.
                await until(lambda: len(mutex._place.lock._waiters or ()) == 2, "it waits")
            await soon(locking)
            assert mutex.token == copy.create_revision
            await until(lambda: not mutex._place.lock.locked(), "the copy was looked at")
            # The contender has put it again.
            (held,) = await client.contenders(name)
            assert held.create_revision == copy.create_revision
            await mutex.unlock()

    run(test())


def test_a_contender_that_has_given_up(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        async with Client(cluster.endpoints) as client:
            async with client.session(60) as holder, client.session(60) as session:
                async with holder.mutex(name):
                    copies = Copies(client)
                    mutex = session.mutex(name)
                    with pytest.raises(errors.DeadlineError):
                        await mutex.lock(timeout=0.1)
                    waiting = asyncio.ensure_future(mutex.lock())
                    while len(await client.contenders(name)) < 2:
                        pass
                    # One deletes the key, but that of the former attempt.
                    await copies.arrive()
                    assert len(await client.contenders(name)) == 2
                await soon(waiting)
                await mutex.unlock()

    run(test())


def test_a_key_that_is_anothers_is_replaced(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        async with Client(cluster.endpoints) as client, client.session(60) as session:
            mutex = session.mutex(name)
            put = await client.put(mutex.key, "of no session")
            await soon(mutex.lock())
            kv = (await client.get(mutex.key)).kv
            assert kv is not None
            assert (kv.value, kv.lease) == (b"", session.lease)
            assert kv.create_revision == mutex.token == put.revision
            await mutex.unlock()
            assert await content(client, name) == []

    run(test())


def test_copies_of_a_proclaimed_value(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        async with Client(cluster.endpoints) as client, client.session(60) as session:
            copies = Copies(client)
            election = session.election(name)
            await election.campaign("1")
            for value in ("2", "1", "3"):
                await election.proclaim(value)
            # The next one finds another mod revision than it knows.
            await client.put(election.key, "of someone else", lease=session.lease)
            await election.proclaim("4")
            before = await content(client, name)
            assert before[0][1] == b"4"
            await copies.arrive()
            assert await content(client, name) == before
            await election.resign()

    run(test())


def test_a_value_is_proclaimed_through_another_endpoint(cluster: Cluster) -> None:
    async def test() -> None:
        async with Proxy(cluster.members[0].port) as proxy:
            async with Client([proxy.url, *cluster.endpoints]) as client:
                async with client.session(60) as session:
                    election = session.election(unique())
                    await election.campaign("1")
                    await aim(client, proxy.url)
                    proxy.hold()
                    await soon(election.proclaim("2"))
                    await election.proclaim("3")
                    proxy.pass_on()
                    endpoint = client._started().rotation.endpoints[0]
                    await until(lambda: endpoint.in_rotation, "it answers the probe")
                    leader = await client.leader(election.key.rsplit(b"/", 1)[0])
                    assert leader is not None
                    assert leader.value == b"3"

    run(test())


def test_a_proclaimed_value_may_be_there_after_the_deadline(cluster: Cluster) -> None:
    async def test() -> None:
        async with Proxy(cluster.members[0].port) as proxy, Client([proxy.url]) as client:
            async with client.session(60) as session:
                election = session.election(unique())
                await election.campaign("1")
                proxy.hold()
                with pytest.raises(errors.MaybeHappenedError):
                    await election.proclaim("2", timeout=0.3)
                proxy.pass_on()
                await election.proclaim("3")

    run(test())


def test_members(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        async with Client(cluster.endpoints) as client:
            async with client.session(60) as session, client.session(60) as other:
                copies = Copies(client)
                group = client.group(name)
                member = await group.join(session, "a", "1")
                await member.update("2")
                await member.update("3")
                before = await content(client, name)
                await copies.arrive()
                assert await content(client, name) == before
                replacing = await group.join(other, "a", "4")
                with pytest.raises(errors.SessionLostError):
                    await member.update("5")
                await member.leave()
                assert await group.members() == {"a": b"4"}
                await replacing.leave()
                await copies.arrive()
                await until_empty(client, name)

    run(test())


def test_a_cancelled_join_leaves_no_member(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        async with Client(cluster.endpoints) as client, client.session(60) as session:
            group = client.group(name)
            for turns in range(0, 40, 4):
                joining = asyncio.ensure_future(group.join(session, "a", "1")._work)
                for _ in range(turns):
                    await asyncio.sleep(0)
                if joining.cancel():
                    with pytest.raises(asyncio.CancelledError):
                        await soon(joining)
                else:
                    await joining.result().leave()
                assert await content(client, name) == [], turns

    run(test())


def test_copies_of_a_claim(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        async with Client(cluster.endpoints) as client, client.session(60) as session:
            copies = Copies(client)
            queue = client.queue(name)
            await queue.put("1")
            item = await queue.take(session)
            before = await content(client, name)
            await copies.arrive()
            assert await content(client, name) == before
            await item.release()
            again = await soon(queue.take(session)._work)
            await again.release()
            await copies.arrive()
            await until_empty(client, f"{name}/claims/")

    run(test())


def test_copies_of_a_round_of_a_double_barrier(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        async with Client(cluster.endpoints) as client:
            async with client.session(60) as one, client.session(60) as two:
                copies = Copies(client)
                first, second = one.double_barrier(name, 2), two.double_barrier(name, 2)
                await soon(asyncio.gather(first.enter(), second.enter()))
                await soon(asyncio.gather(first.leave(), second.leave()))
                assert await content(client, name) == []
                entering = asyncio.ensure_future(first.enter())
                while not await content(client, name):
                    pass
                before = await content(client, name)
                await copies.arrive()
                # The copy of the other one's put is deleted, and lets in no one.
                while await content(client, name) != before:
                    pass
                assert not entering.done()
                await soon(asyncio.gather(second.enter(), entering))
                inside = await content(client, name)
                await copies.arrive()
                assert await content(client, name) == inside
                await soon(asyncio.gather(first.leave(), second.leave()))
                assert await content(client, name) == []

    run(test())


def test_a_barrier_is_not_held_twice(cluster: Cluster) -> None:
    async def test() -> None:
        async with Proxy(cluster.members[0].port) as proxy:
            async with Client([proxy.url, *cluster.endpoints]) as client:
                barrier = client.barrier(unique())
                endpoint = client._started().rotation.endpoints[0]
                for write in (barrier.hold, barrier.release):
                    await aim(client, proxy.url)
                    proxy.hold()
                    with pytest.raises(errors.MaybeHappenedError):
                        await write(timeout=0.5)
                    proxy.pass_on()
                    await until(lambda: endpoint.in_rotation, "it answers the probe")

    run(test())


def test_copies_are_looked_for_until_the_session_ends(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        key = unique()
        async with Client(cluster.endpoints) as client:
            session = await client.session(60)
            put = await client.put(key, "1", lease=session.lease)
            await client.compact(put.revision)
            read = client.get
            reads: List[GetResult] = []

            async def get(key: Any) -> GetResult:
                """Misses the key at first, whose history is compacted when the watch begins."""
                reads.append(await read(key) if reads else GetResult(None, 1))
                return reads[-1]

            monkeypatch.setattr(client, "get", get)
            late = delete_copies(session, key.encode(), lambda kv: True, asyncio.Lock())
            await until_empty(client, key)
            assert len(reads) == 2
            # Not one that has another lease.
            await client.put(key, "2")
            await client.put(key, "3", lease=session.lease)
            await until_empty(client, key)
            assert not late.done()
            await session.close()
            await soon(late)

    run(test())


def test_a_user_who_may_not_look_for_copies(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with Client(cluster.endpoints) as client, client.session(60) as session:

            async def get(key: Any) -> GetResult:
                raise refused()

            monkeypatch.setattr(client, "get", get)
            await soon(delete_copies(session, b"a", lambda kv: True, asyncio.Lock()))
            assert caplog.text == ""

    run(test())


def late_tasks(client: Client) -> List[Any]:
    tasks = client._started().work._tasks
    return [task for task in tasks if "late copies" in task.get_name()]


def test_a_late_deletion_of_a_copy_that_was_locked_since(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        async with Client(cluster.endpoints) as client, client.session(60) as session:
            copies = Copies(client)
            mutex = session.mutex(name)
            await mutex.lock()
            await mutex.unlock()
            late = LateWrite(client, refused())
            await copies.arrive()
            # The user has no permission for a while, which ends the search for copies.
            await until(lambda: not late_tasks(client), "the deletion is refused")
            async with mutex:
                await late.arrive()
                assert mutex.held
                assert len(await client.contenders(name)) == 1
            # Copies are looked for again.
            assert late_tasks(client)
            await copies.arrive()
            await until_empty(client, name)

    run(test())


def test_a_late_deletion_of_a_member_that_is_there_again(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        async with Client(cluster.endpoints) as client:
            async with client.session(60) as session, client.session(60) as other:
                group = client.group(name)
                for value in ("1", "2"):
                    for taken_over in (False, True):
                        member = await group.join(session, "a", "1")
                        late = LateWrite(client, refused())
                        with pytest.raises(errors.ApiError):
                            await member.leave()
                        if taken_over:
                            await group.join(other, "a", "3")
                        again = await group.join(session, "a", value)
                        await late.arrive()
                        assert await group.members() == {"a": value.encode()}
                        await again.leave()
                        assert await group.members() == {}

    run(test())


def test_a_change_before_a_late_deletion(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        async with Client(cluster.endpoints) as client, client.session(60) as session:
            member = await client.group(name).join(session, "a", "1")
            # The last change is not known, as after an attempt without an answer.
            await client.put(member.key, "2", lease=session.lease)
            late = LateWrite(client, refused())
            with pytest.raises(errors.ApiError):
                await member.leave()
            await member.update("2")
            await late.arrive()
            # A deletion finds the last change as well.
            await client.put(member.key, "3", lease=session.lease)
            await member.leave()
            assert await content(client, name) == []

    run(test())


def test_a_late_deletion_of_one_that_waits_at_a_double_barrier_again(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        async with Client(cluster.endpoints) as client:
            async with client.session(60) as one, client.session(60) as two:
                first, second = one.double_barrier(name, 2), two.double_barrier(name, 2)
                late = LateWrite(client, refused())
                with pytest.raises(errors.DeadlineError):
                    await first.enter(timeout=0.1)
                assert late.kept is not None
                entering = asyncio.ensure_future(first.enter())
                while (await client.list(name)).kvs[0].version == 1:
                    pass
                await late.arrive()
                await soon(asyncio.gather(second.enter(), entering))
                await soon(asyncio.gather(first.leave(), second.leave()))
                assert await content(client, name) == []

    run(test())


def test_a_late_ready_of_an_entry_that_has_failed(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        async with Client(cluster.endpoints) as client, Client(cluster.endpoints) as other:
            async with client.session(60) as one, other.session(60) as two:
                first, second = one.double_barrier(name, 2), two.double_barrier(name, 2)
                waiting = asyncio.ensure_future(second.enter())
                while not await content(client, name):
                    pass

                def is_ready(op: api.rpc.RequestOp) -> bool:
                    return op.request_put.key.endswith(b"/ready")

                ready = LateWrite(client, refused(), is_ready)
                deletion = LateWrite(client, refused())
                with pytest.raises(errors.ApiError):
                    await soon(first.enter())
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await soon(waiting)
                entering = asyncio.ensure_future(first.enter())
                while (await client.list(name)).kvs[0].version == 1:
                    pass
                await ready.arrive()
                await deletion.arrive()
                assert not entering.done()
                await soon(asyncio.gather(second.enter(), entering))
                await soon(asyncio.gather(first.leave(), second.leave()))

    run(test())


def test_a_join_ends_with_its_session(cluster: Cluster) -> None:
    async def test() -> None:
        async with Proxy(cluster.members[0].port) as proxy, Client([proxy.url]) as client:
            session = await client.session(60)
            proxy.hold()
            joining = asyncio.ensure_future(client.group(unique()).join(session, "a")._work)
            await until(lambda: proxy.kept, "the put is on its way")
            closing = asyncio.ensure_future(session.close())
            with pytest.raises(errors.ClosedError):
                await asyncio.wait_for(joining, 2)
            proxy.pass_on()
            await soon(closing)

    run(test())


def test_a_key_that_is_left_is_put_again_with_its_revocation(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        async with Client(cluster.endpoints) as client, client.session(60) as session:
            semaphore = session.semaphore(name + "s", 1)
            mutex = session.mutex(name + "m")
            for key in (mutex.key, semaphore._key(0)):
                left = await client.put(key, "revoke", lease=session.lease)
                owner: Any = mutex
                if key == mutex.key:
                    await mutex.lock()
                else:
                    owner = await semaphore.acquire()
                kv = (await client.get(key)).kv
                assert kv is not None
                assert (kv.value, kv.lease, kv.version) == (b"revoke", session.lease, 2)
                assert owner.token == left.revision
                events = owner.events()
                assert await soon(events.__anext__()) is OwnerEvent.REVOKE
                # Once.
                await client.delete(key)
                assert await soon(events.__anext__()) is OwnerEvent.LOST
            election = session.election(name + "e")
            await client.put(election.key, "revoke", lease=session.lease)
            await election.campaign("1")
            kv = (await client.get(election.key)).kv
            assert kv is not None
            assert kv.value == b"1"

    run(test())


def test_an_error_after_an_attempt_whose_fate_is_unknown(cluster: Cluster) -> None:
    async def test() -> None:
        async with Proxy(cluster.members[0].port) as proxy:
            async with Client([proxy.url, *cluster.endpoints]) as client:
                await aim(client, proxy.url)
                proxy.hold()
                request = api.rpc.PutRequest(key=b"a", lease=1)
                with pytest.raises(errors.ApiError) as caught:
                    await client._started().call(api.methods.KV_PUT, request, fate=Fate())
                assert caught.value.name == "LeaseNotFound"
                assert caught.value.maybe

    run(test())


def test_a_join_without_an_answer_before_there_is_no_endpoint(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        async with Client(cluster.endpoints) as client, client.session(60) as session:
            group = client.group(name)
            member = await group.join(session, "a", "1")
            core = client._started()
            call = core._call
            fates: List[Optional[Fate]] = []

            async def losing(*args: Any) -> Any:
                fates.append(args[-1])
                if len(fates) > 1:
                    raise errors.UnavailableError("no endpoint")
                await call(*args)
                args[-1].unsettled = True
                raise errors.MaybeHappenedError("the answer was lost")

            core._call = losing  # type: ignore[assignment, method-assign]
            with pytest.raises(errors.MaybeHappenedError):
                await soon(group.join(session, "a", "2", timeout=0.3)._work)
            assert len(fates) > 1
            core._call = call  # type: ignore[method-assign]
            assert await group.members() == {"a": b"2"}
            await member.update("3")
            await member.leave()
            assert await group.members() == {}

    run(test())


def test_entries_without_an_answer_end(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        async with Proxy(cluster.members[0].port) as proxy:
            async with Client([proxy.url], timeout=1) as client, Client(cluster.endpoints) as other:
                async with client.session(60) as session:
                    group = client.group(name)
                    mutex, held = session.mutex(name + "/m"), session.mutex(name + "/h")
                    await held.lock()
                    proxy.hold()
                    tries: List[Callable[[], Any]] = [
                        lambda: group.join(session, "a", timeout=0.5)._work,
                        mutex.try_lock,
                        session.semaphore(name + "/s", 1).try_acquire,
                        lambda: held.unlock(timeout=0.3),
                    ]
                    for entry in tries:
                        with pytest.raises(errors.MaybeHappenedError):
                            await asyncio.wait_for(entry(), 5)
                    proxy.pass_on()
                    await until_empty(other, name)

    run(test())


def test_a_take_that_was_given_up_is_released_in_the_end(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        async with Client(cluster.endpoints) as client, client.session(60) as session:
            queue = client.queue(name)
            await queue.put("1")
            claim = queue._claim

            async def cancelling(*args: Any) -> None:
                await claim(*args)
                taking.cancel()

            queue._claim = cancelling  # type: ignore[assignment, method-assign]
            late = LateWrite(client, errors.UnavailableError("no endpoint"))
            taking = asyncio.ensure_future(queue._take(session, None))
            with pytest.raises(asyncio.CancelledError):
                await soon(taking)
            assert late.kept is not None
            await until_empty(client, f"{name}/claims/")

    run(test())


def test_a_claim_that_is_answered_after_the_caller_has_given_up(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        async with Proxy(cluster.members[0].port) as proxy:
            async with Client([proxy.url]) as client, Client(cluster.endpoints) as other:
                async with client.session(60) as session:
                    queue = client.queue(name)
                    await queue.put("1")
                    began = (await other.get(name)).revision
                    claim = queue._claim

                    async def holding(*args: Any) -> None:
                        proxy.hold()
                        await claim(*args)

                    queue._claim = holding  # type: ignore[assignment, method-assign]
                    with pytest.raises(errors.DeadlineError):
                        await queue.take(session, timeout=0.3)
                    assert proxy.kept
                    assert await content(other, f"{name}/claims/") == []
                    proxy.pass_on()
                    async with other.watch(f"{name}/claims/", prefix=True, revision=began) as watch:
                        types = [(await soon(watch.__anext__())).events[0].type for _ in range(2)]
                    assert types == [EventType.PUT, EventType.DELETE]

    run(test())


def test_copies_of_a_claim_are_looked_for_until_the_item_is_done(cluster: Cluster) -> None:
    async def test() -> None:
        async with Client(cluster.endpoints) as client, client.session(60) as session:
            Copies(client)
            queue = client.queue(unique())
            await queue.put("1")
            item = await queue.take(session)
            await item.release()
            item = await queue.take(session)
            assert len(late_tasks(client)) == 2
            await item.ack()
            await until(lambda: not late_tasks(client), "the item is done")

    run(test())
