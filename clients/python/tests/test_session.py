"""Sessions (S1 to S7)."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any, List

import pytest
from servers import Cluster
from support import Proxy, closes_connections, run, soon, unique, until

from conclave_client import _clock, api, errors
from conclave_client.aio import Client, Session, SessionState


def test_a_session_is_kept_alive_and_revoked(cluster: Cluster) -> None:
    async def test() -> None:
        async with Client(cluster.endpoints) as client:
            key = unique()
            async with client.session(2) as session:
                await client.put(key, "1", lease=session.lease)
                opened = _clock.now()
                await until(lambda: _clock.now() > opened + 3, "more than its TTL")
                assert session.state is SessionState.CONNECTED
                assert (await client.get(key)).kv is not None
            assert (await client.get(key)).kv is None
            assert session.state.value == "LOST"

    run(test())


def test_suspended_and_reconnected(cluster: Cluster) -> None:
    async def test() -> None:
        async with Proxy(cluster.members[0].port) as proxy, Client([proxy.url]) as client:
            async with client.session(6) as session:
                states = session.states()
                assert await soon(states.__anext__()) is SessionState.CONNECTED
                proxy.hold()
                began = time.monotonic()
                assert await soon(states.__anext__()) is SessionState.SUSPENDED
                assert time.monotonic() - began < 6 / 3 + 1 + 0.5
                assert session.is_alive
                proxy.pass_on()
                assert await soon(states.__anext__()) is SessionState.RECONNECTED
                assert session.state is SessionState.RECONNECTED

    run(test())


def test_a_broken_stream_is_replaced_without_suspension(cluster: Cluster) -> None:
    async def test() -> None:
        async with Proxy(cluster.members[0].port) as proxy, Client([proxy.url]) as client:
            async with client.session(3) as session:
                seen: List[SessionState] = []
                listener = session.on_state(seen.append)
                confirmed = session._lost_at
                proxy.cut()
                # At once, not a third of the TTL later.
                began = time.monotonic()
                await until(lambda: session._lost_at > confirmed, "confirmed on another stream")
                assert time.monotonic() - began < 0.9
                listener.close()
                assert seen == [SessionState.CONNECTED]

    run(test())


def test_lost_by_the_clock(cluster: Cluster) -> None:
    async def test() -> None:
        async with Proxy(cluster.members[0].port) as proxy, Client([proxy.url]) as client:
            session = await client.session(2)
            mutex = session.mutex(unique())
            await mutex.lock()
            key = mutex.key
            told: List[str] = []
            session.on_state(lambda state: told.append(state.value))
            mutex.on_event(lambda event: told.append(event.value))
            proxy.hold()
            lost_at = session._lost_at
            await until(lambda: not session.is_alive, "lost")
            assert lost_at - 0.01 <= _clock.now() < lost_at + 0.5
            assert not mutex.held
            async with Client(cluster.endpoints) as other:
                # The server has not ended the lease before the client knew.
                assert (await other.get(key)).kv is not None
            await until(lambda: "lost" in told and "LOST" in told, "listeners are told")
            with pytest.raises(errors.SessionLostError):
                await mutex.lock()
            with pytest.raises(errors.SessionLostError):
                await mutex.unlock()
            proxy.pass_on()

    run(test())


def test_a_revoked_lease_is_lost_at_once(cluster: Cluster) -> None:
    async def test() -> None:
        async with Client(cluster.endpoints) as client, client.session(3) as session:
            states = session.states()
            revoke = api.rpc.LeaseRevokeRequest(ID=session.lease)
            await client.call(api.methods.LEASE_REVOKE, revoke)
            assert await soon(states.__anext__()) is SessionState.CONNECTED
            assert await soon(states.__anext__()) is SessionState.LOST
            with pytest.raises(StopAsyncIteration):
                await states.__anext__()

    run(test())


def test_a_waiter_fails_when_its_session_is_lost(cluster: Cluster) -> None:
    async def test() -> None:
        async with Client(cluster.endpoints) as client:
            async with client.session(5) as holder, client.session(5) as waiter:
                name = unique()
                async with holder.mutex(name):
                    waiting = asyncio.ensure_future(waiter.mutex(name).lock())
                    while len(await client.contenders(name)) < 2:
                        pass
                    revoke = api.rpc.LeaseRevokeRequest(ID=waiter.lease)
                    await client.call(api.methods.LEASE_REVOKE, revoke)
                    with pytest.raises(errors.SessionLostError):
                        await soon(waiting)

    run(test())


def test_a_waiter_fails_when_its_session_is_closed(cluster: Cluster) -> None:
    async def test() -> None:
        async with Client(cluster.endpoints) as client:
            async with client.session(5) as holder:
                waiter = await client.session(5)
                name = unique()
                async with holder.mutex(name):
                    waiting = asyncio.ensure_future(waiter.mutex(name).lock())
                    while len(await client.contenders(name)) < 2:
                        pass
                    await waiter.close()
                    with pytest.raises(errors.ClosedError):
                        await soon(waiting)
                    assert len(await client.contenders(name)) == 1

    run(test())


def test_after_a_pause_of_the_process_the_clock_decides(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with Client(cluster.endpoints) as client, client.session(5) as session:
            async with session.mutex(unique()) as mutex:
                assert mutex.held
                real = _clock.now
                monkeypatch.setattr(_clock, "now", lambda: real() + 5)
                assert not mutex.held
                assert session.state is SessionState.LOST
                with pytest.raises(errors.SessionLostError):
                    await mutex.lock()
                with pytest.raises(errors.SessionLostError):
                    await mutex.unlock()

    with pytest.raises(errors.SessionLostError):
        run(test())
    monkeypatch.undo()


def test_callbacks_of_users_disturb_no_one(cluster: Cluster) -> None:
    async def test() -> None:
        async with Client(cluster.endpoints) as client, client.session(2) as session:
            go_on = threading.Event()
            seen: List[str] = []
            threads: List[threading.Thread] = []

            def blocks(state: SessionState) -> None:
                threads.append(threading.current_thread())
                go_on.wait(20)

            def throws(state: SessionState) -> None:
                raise RuntimeError("from the test")

            async def counts(state: SessionState) -> None:
                seen.append(state.value)

            session.on_state(blocks)
            session.on_state(throws)
            session.on_state(counts)
            opened = _clock.now()
            await until(lambda: _clock.now() > opened + 2.5, "more than its TTL")
            assert session.is_alive
            assert threads[0] is not threading.main_thread()
            assert seen == ["CONNECTED"]
            go_on.set()

    run(test())


def test_the_servers_ttl_counts(cluster: Cluster) -> None:
    async def test() -> None:
        async with Client(cluster.endpoints) as client:
            # The least that the server grants is more.
            async with client.session(1) as session:
                assert session.ttl == 2
            async with client.session() as session:
                assert session.ttl == 10

    run(test())


def test_a_cancelled_opening_leaves_no_lease(cluster: Cluster) -> None:
    async def leases(client: Client) -> set[int]:
        answer = await client.call(api.methods.LEASE_LEASES, api.rpc.LeaseLeasesRequest())
        return {lease.ID for lease in answer.leases}

    async def test() -> None:
        async with Client(cluster.endpoints) as client:
            before = await leases(client)
            for turns in range(0, 40, 4):
                opening = asyncio.ensure_future(Session._open(client, 60, None))
                for _ in range(turns):
                    await asyncio.sleep(0)
                if not opening.cancel():
                    await opening.result().close()
                else:
                    with pytest.raises(asyncio.CancelledError):
                        await soon(opening)
            await until(lambda: not client._started().work._tasks, "revoked")
            assert await leases(client) <= before

    run(test())


def test_a_session_survives_the_loss_of_a_member() -> None:
    async def test(cluster: Cluster) -> None:
        async with Client(cluster.endpoints) as client:
            await client.put("a", "1", timeout=20)
            async with client.session(4) as session:
                states = session.states()
                cluster.members[0].stop()
                opened = _clock.now()
                await until(lambda: _clock.now() > opened + 6, "more than its TTL")
                assert session.is_alive
                states.finish()
                assert SessionState.LOST not in [state async for state in states]
            cluster.members[0].go_on()

    with Cluster(3) as cluster:
        run(test(cluster))


def test_a_session_is_kept_alive_although_connections_break_before_its_streams(
    cluster: Cluster,
) -> None:
    async def test() -> None:
        async with Proxy(cluster.members[0].port) as proxy, Client([proxy.url]) as client:
            async with client.session(10) as session:
                closed = closes_connections(client, 3)
                proxy.cut()
                await until(lambda: len(closed) == 3, "the session has tried again")
                confirmed = session._lost_at
                await until(lambda: session._lost_at > confirmed, "confirmed")

    run(test())


def test_a_fault_of_the_library_does_not_end_keep_alives(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with Proxy(cluster.members[0].port) as proxy, Client([proxy.url]) as client:
            original = Session._renew
            failed: List[object] = []

            async def fail_once(session: Session, stream: Any) -> None:
                if failed:
                    return await original(session, stream)
                failed.append(stream)
                raise RuntimeError("from the test")

            async with client.session(10) as session:
                monkeypatch.setattr(Session, "_renew", fail_once)
                proxy.cut()
                await until(lambda: failed, "another stream")
                confirmed = session._lost_at
                await until(lambda: session._lost_at > confirmed, "confirmed")
        assert "was not kept alive" in caplog.text

    run(test())


@pytest.mark.parametrize(
    "close", [Session.close, lambda session: session.client.close()], ids=["session", "client"]
)
def test_listeners_hear_of_the_end_by_close(cluster: Cluster, close: Any) -> None:
    async def test() -> None:
        async with Client(cluster.endpoints) as client:
            session = await client.session(10)
            heard: List[SessionState] = []
            heard_by_task: List[SessionState] = []

            async def hear(state: SessionState) -> None:
                heard_by_task.append(state)

            states = session.states()
            session.on_state(heard.append)
            session.on_state(hear)
            await close(session)
            both = [SessionState.CONNECTED, SessionState.LOST]
            assert [state async for state in states] == both
            await until(lambda: heard == both, "a thread hears it")
            assert heard_by_task == both
            assert [state async for state in session.states()] == [SessionState.LOST]

    run(test())


@pytest.mark.parametrize("sent", [False, True])
def test_the_end_of_the_client_while_a_session_opens(cluster: Cluster, sent: bool) -> None:
    async def test() -> None:
        async with Proxy(cluster.members[0].port) as proxy:
            client = Client([proxy.url])
            if sent:
                await client.get("a")
            proxy.hold()
            opening = asyncio.ensure_future(Session._open(client, 10, None))
            await until(lambda: proxy.kept, "on its way")
            await client.close()
            with pytest.raises(errors.ClosedError) as caught:
                await soon(opening)
            assert caught.value.maybe is sent
            proxy.pass_on()

    run(test())
