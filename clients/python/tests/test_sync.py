"""The synchronous client: what it adds to the asyncio client, which does its work."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Iterator, List

import pytest
import support
from servers import Cluster, free_port
from support import DEADLINE, unique

import conclave_client
from conclave_client import (
    CancelScope,
    Client,
    Election,
    OwnerEvent,
    SessionState,
    Transaction,
    api,
    errors,
)
from conclave_client._background import leftovers
from conclave_client._portal import _Running
from conclave_client.types import Batch

ROOT = Path(__file__).parent.parent


@pytest.fixture
def client(cluster: Cluster) -> Iterator[Client]:
    with Client(cluster.endpoints) as client:
        yield client
    until(lambda: leftovers() == [], "nothing is left")


def until(condition: Callable[[], object], what: str) -> None:
    give_up = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < give_up, (what, leftovers())
        time.sleep(0.01)


def test_the_generated_file_is_up_to_date() -> None:
    made = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "sync_face.py")], check=True, stdout=subprocess.PIPE
    )
    kept = (ROOT / "src" / "conclave_client" / "_sync.py").read_text()
    assert made.stdout.decode().rstrip() == kept.rstrip()


def test_all_handles_of_the_asyncio_client_are_there() -> None:
    missing = set(conclave_client.aio.__all__) - set(dir(conclave_client))
    assert missing == {"Opening"}


def test_calls_watches_and_sessions(client: Client) -> None:
    key = unique()
    with client.watch(key) as watch:
        put = client.put(key, "1")
        assert next(watch).revision == put.revision
        with pytest.raises(errors.DeadlineError):
            watch.next(timeout=0.05)
        client.delete(key)
        assert watch.next(timeout=DEADLINE).events[0].key == key.encode()
    assert list(watch) == []
    with client.session(5) as session:
        states = session.states()
        assert next(states) is SessionState.CONNECTED
        with session.mutex(key) as mutex:
            assert mutex.held
            assert client.revoke(key)
            assert next(mutex.events()) is OwnerEvent.REVOKE
        assert not mutex.held
    assert session.state is SessionState.LOST
    assert list(states) == [SessionState.LOST]


def test_recipes(client: Client) -> None:
    name = unique()
    with client.session(10) as session, client.session(10) as other:
        lock = session.rwlock(name + "rw")
        with lock.read as reading:
            assert reading.held
        semaphore = session.semaphore(name + "s", 1)
        with semaphore.acquire() as permit:
            assert permit.held
            assert other.semaphore(name + "s", 1).try_acquire() is None
        queue = client.queue(name + "q")
        queue.put("item")
        with queue.take(session) as item:
            assert item.value == b"item"
        with pytest.raises(errors.DeadlineError):
            queue.take(session, timeout=0.1)
        assert client.counter(name + "c").add(2) == 2
        with client.cache(name) as cache, client.observe(name + "e") as observer:
            with session.election(name + "e") as election:
                election.campaign("me")
                assert next(observer).value == b"me"
                put = client.put(name + "x", "1")
                cache.at_least(put.revision)
                kv = cache.get(name + "x")
                assert kv is not None
                assert kv.value == b"1"

        def transfer(txn: Transaction) -> int:
            total = int(txn.get(name + "x") or 0) + 1
            txn.put(name + "x", str(total))
            return total

        assert client.stm(transfer) == 2
        assert session.once(name + "o", lambda: "result").ran
        again = other.once(name + "o", lambda: "other")
        assert (again.value, again.ran) == (b"result", False)

        def lead(election: Election) -> str:
            assert election.held
            return "led"

        assert session.election(name + "e").run("me", lead) == "led"

        def fail(txn: Transaction) -> None:
            raise RuntimeError("from the test")

        with pytest.raises(RuntimeError, match="from the test"):
            client.stm(fail)


def test_work_of_a_leader_learns_of_its_end(client: Client) -> None:
    with client.session(10) as session:

        def lead(election: Election) -> None:
            client.delete(election.key)
            election.wait_lost(timeout=DEADLINE)
            assert not election.held

        with pytest.raises(errors.SessionLostError):
            session.election(unique()).run("me", lead)


def test_from_many_threads(client: Client) -> None:
    name = unique()
    inside: List[int] = []

    def work(n: int) -> None:
        with client.session(10) as session:
            for _ in range(3):
                with session.mutex(name) as mutex:
                    inside.append(n)
                    assert len(inside) == 1
                    assert mutex.held
                    inside.remove(n)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))


def test_a_busy_thread_does_not_delay_keep_alives(client: Client) -> None:
    with client.session(2) as session:
        entered, go_on = threading.Event(), threading.Event()

        def blocks(state: SessionState) -> None:
            # Callbacks may use the client.
            client.put(unique(), state.value)
            entered.set()
            go_on.wait(DEADLINE)

        session.on_state(blocks)
        assert entered.wait(DEADLINE)
        began = time.monotonic()
        until(lambda: time.monotonic() > began + 2.5, "more than the TTL")
        assert session.is_alive
        go_on.set()


def test_a_scope_cancels_and_frees(client: Client) -> None:
    name = unique()
    with client.session(10) as holder, client.session(10) as session, holder.mutex(name):
        scope = CancelScope()
        caught: List[errors.CancelledError] = []

        def work() -> None:
            with scope:
                try:
                    session.mutex(name).lock()
                except errors.CancelledError as error:
                    caught.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        until(lambda: len(client.contenders(name)) == 2, "it waits")
        scope.cancel()
        thread.join(DEADLINE)
        assert [error.kind for error in caught] == ["cancelled"]
        assert len(client.contenders(name)) == 1


def test_close_ends_what_other_threads_wait_for(cluster: Cluster) -> None:
    client = Client(cluster.endpoints)
    name = unique()
    holder = client.session(10).mutex(name)
    holder.lock()
    kinds: List[str] = []
    session = client.session(10)

    def wait(what: Callable[[], object]) -> None:
        try:
            what()
        except errors.ConclaveError as error:
            kinds.append(error.kind)

    watch = client.watch(name + "x")
    waits: List[Callable[[], object]] = [session.mutex(name).lock, watch.next]
    threads = [threading.Thread(target=wait, args=(what,)) for what in waits]
    for thread in threads:
        thread.start()
    until(lambda: len(client.contenders(name)) == 2, "it waits")
    client.close()
    for thread in threads:
        thread.join(DEADLINE)
    assert kinds == ["closed", "closed"]
    client.close()
    for late in (lambda: client.get("a"), holder.unlock, lambda: session.mutex(name)):
        with pytest.raises(errors.ClosedError):
            late()
    until(lambda: leftovers() == [], "nothing is left")


def test_nothing_runs_before_the_first_call() -> None:
    before = threading.active_count()
    client = Client([f"http://127.0.0.1:{free_port()}"])
    assert threading.active_count() == before
    client.close()
    with pytest.raises(errors.ClosedError):
        client.get("a")


@pytest.mark.parametrize("time", range(3))
def test_after_a_fork(client: Client, time: int) -> None:
    client.get("a")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        text = "no error"
        try:
            client.get("a")
        except errors.ClosedError as error:
            text = str(error)
        os.write(writer, text.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        assert "make a client in the child" in pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    client.get("a")


@pytest.mark.parametrize("end", ["", "client.close()", "raise SystemExit(0)"])
def test_a_program_ends_although_a_client_is_open(cluster: Cluster, end: str) -> None:
    code = f"""
import conclave_client
client = conclave_client.Client({cluster.endpoints!r})
session = client.session(5)
session.mutex({unique()!r}).lock()
{end}
"""
    done = subprocess.run(
        [sys.executable, "-c", code], timeout=DEADLINE, stderr=subprocess.PIPE, check=True
    )
    assert done.stderr == b""


def test_an_interrupt_ends_a_wait(cluster: Cluster) -> None:
    code = f"""
import conclave_client, os, signal, threading
# A shell ignores the signal in what it runs in the background, and Python keeps to that.
signal.signal(signal.SIGINT, signal.default_int_handler)
client = conclave_client.Client({cluster.endpoints!r})
name = {unique()!r}
client.session(10).mutex(name).lock()
waiter = client.session(10).mutex(name)
def interrupt():
    while len(client.contenders(name)) < 2:
        pass
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt).start()
try:
    waiter.lock()
except KeyboardInterrupt:
    while len(client.contenders(name)) > 1:
        pass
    client.close()
    print("freed")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], timeout=DEADLINE, stdout=subprocess.PIPE, check=True
    )
    assert done.stdout == b"freed\n"


def test_a_cancelled_wait_loses_no_item(client: Client) -> None:
    with client.watch(unique()) as watch:
        feed = watch._aio._feed

        async def push_and_cancel(turns: int, scope: CancelScope) -> None:
            """Cancels in each of the moments between the arrival of an item and its delivery."""
            await support.until(lambda: feed._changed._waiters, "it waits")
            feed.push(Batch(turns, []))
            for _ in range(turns):
                await asyncio.sleep(0)
            for running in list(scope._running):
                running._cancel()

        got: List[int] = []
        for turns in range(6):
            scope = CancelScope()
            pushing = asyncio.run_coroutine_threadsafe(
                push_and_cancel(turns, scope), client._portal._loop
            )
            with contextlib.suppress(errors.CancelledError), scope:
                got.append(watch.next(timeout=DEADLINE).revision)
            pushing.result(DEADLINE)
            if len(got) <= turns:
                got.append(watch.next(timeout=DEADLINE).revision)
        assert got == list(range(6))


@pytest.mark.parametrize("late", [False, True])
def test_an_interrupt_loses_no_item(
    client: Client, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    """Interrupts come before the item or after it, and before it is delivered."""
    key = unique()
    with client.watch(key) as watch:
        for n in range(3):
            client.put(key, str(n))
        original = _Running.result

        def interrupted(running: _Running[Any]) -> Any:
            if late:
                original(running)
            raise KeyboardInterrupt

        got: List[bytes] = []
        for _ in range(3):
            with monkeypatch.context() as patch:
                patch.setattr(_Running, "result", interrupted)
                with pytest.raises(KeyboardInterrupt):
                    watch.next(timeout=DEADLINE)
            got += [event.value for event in watch.next(timeout=DEADLINE).events]
        assert got == [b"0", b"1", b"2"]


def test_an_interrupt_leaves_no_session(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The interrupt comes when the session is open, and before the caller has it."""

    def leases() -> List[int]:
        answer = client.call(api.methods.LEASE_LEASES, api.rpc.LeaseLeasesRequest())
        return [lease.ID for lease in answer.leases]

    before = leases()
    original = _Running.result

    def interrupted(running: _Running[Any]) -> Any:
        assert original(running).is_alive
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_Running, "result", interrupted)
        with pytest.raises(KeyboardInterrupt):
            client.session(60)
    until(lambda: set(leases()) <= set(before), "revoked")


def test_wrong_arguments() -> None:
    with pytest.raises(errors.InvalidError):
        Client(["nonsense"])
