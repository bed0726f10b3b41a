"""Sessions: a lease that is kept alive, with a state that its users can watch (S1 to S7)."""

from __future__ import annotations

import asyncio
import enum
import weakref
from typing import TYPE_CHECKING, Any, Awaitable, Callable, Coroutine, Optional, TypeVar

from .. import _clock, errors
from .._background import End, began, cancel_and_wait, ended, logger, until_first, within
from .._core import Core, timeout_of
from .._feed import Feed
from .._keys import Data, to_int
from .._listeners import Callback, Listener, Listeners
from .._pause import Backoff
from .._proto import methods, rpc_pb2
from .._rotation import Endpoint
from .._streams import Stream, StreamBroken, open_stream
from . import _once
from ._double_barrier import DoubleBarrier
from ._election import Election
from ._mutex import Mutex
from ._once import OnceResult
from ._own_key import OwnKey
from ._rwlock import RwLock
from ._semaphore import Semaphore
from ._steps import persist

if TYPE_CHECKING:
    from ._client import Client

T = TypeVar("T")

DEFAULT_TTL = 10

KeepAliveStream = Stream[rpc_pb2.LeaseKeepAliveRequest, rpc_pb2.LeaseKeepAliveResponse]


class SessionState(enum.Enum):
    """The known state of a session's lease."""

    CONNECTED = "CONNECTED"
    """The lease is alive."""
    SUSPENDED = "SUSPENDED"
    """The lease was not confirmed in time; it may still be alive."""
    RECONNECTED = "RECONNECTED"
    """Confirmed again after SUSPENDED, the same lease: nothing was lost."""
    LOST = "LOST"
    """The lease is gone or must be thought gone. Final."""


class Session:
    """A lease and what depends on it. Open one with `Client.session`."""

    def __init__(self, client: Client, lease: int, ttl: int, sent: float) -> None:
        self._client = client
        self._core: Core = client._started()
        self._lease = lease
        self._ttl = ttl
        self._state = SessionState.CONNECTED
        self._lost = End(
            lambda: errors.SessionLostError(
                f"the session {lease:x} is lost: open another one and begin again"
            )
        )
        self._closed = End(lambda: errors.ClosedError("the session is closed"))
        self._listeners: Listeners[SessionState] = Listeners(
            self._core.background, "session listener"
        )
        # Keys of this session, by the recipe and key. They live as long as their handles.
        self._own_keys: weakref.WeakValueDictionary[tuple[str, bytes], OwnKey] = (
            weakref.WeakValueDictionary()
        )
        # Held while such a key is put, and while a late copy of it is deleted.
        self._key_locks: weakref.WeakValueDictionary[bytes, asyncio.Lock] = (
            weakref.WeakValueDictionary()
        )
        self._lost_at = 0.0
        self._suspend_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._confirm(sent, ttl)
        began(self, f"session: {lease:x}")
        self._keeper = self._core.spawn(self._keep(), f"keep session {lease:x} alive")

    @classmethod
    async def _open(cls, client: Client, ttl: int, timeout: float | None) -> Session:
        to_int(ttl, "a TTL in seconds", 1)
        core = client._started()
        sent = _clock.now()
        request = rpc_pb2.LeaseGrantRequest(TTL=ttl)
        granting = core.spawn(_grant(core, request, timeout), "grant a lease")
        try:
            granted = await asyncio.shield(granting)
        except asyncio.CancelledError:
            core.spawn(_revoke_granted(core, granting), "revoke a lease")
            raise
        if core.closed.is_set:
            raise errors.ClosedError("the client is closed", maybe=True)
        session = cls(client, granted.ID, granted.TTL, sent)
        client._sessions.add(session)
        return session

    # ---- What users see ----

    @property
    def client(self) -> Client:
        """The client that the session was opened with."""
        return self._client

    @property
    def lease(self) -> int:
        """The lease's id."""
        return self._lease

    @property
    def lease_hex(self) -> str:
        """The lease's id as in keys of recipes: hexadecimal, without leading zeros."""
        return f"{self._lease:x}"

    @property
    def ttl(self) -> int:
        """The TTL in seconds that the server granted, which may be more than was asked."""
        return self._ttl

    @property
    def state(self) -> SessionState:
        """The present state, by the clock. LOST after `close`, too."""
        return self._state if self.is_alive else SessionState.LOST

    @property
    def is_alive(self) -> bool:
        """True until the session is lost or closed. Looks at the clock; for any thread."""
        if self._lost.is_set or self._closed.is_set:
            return False
        return _clock.now() < self._lost_at

    def states(self) -> Feed[SessionState]:
        """Returns an iterator over the present state and all changes. It ends after LOST."""
        feed = self._listeners.feed()
        feed.push(self.state)
        if not self.is_alive:
            feed.finish()
        return feed

    def on_state(self, callback: Callback[SessionState]) -> Listener[SessionState]:
        """Calls a function with the present state and with all changes, in order (S5).

        A plain function is called on a thread of its own, a coroutine function in the event loop.
        """
        listener = self._listeners.listen(callback)
        listener.notify(self.state)
        if not self.is_alive:
            listener.close()
        return listener

    def mutex(self, name: Data) -> Mutex:
        """Returns this session's handle of a mutex, which is not locked yet."""
        return Mutex(self, name)

    def rwlock(self, name: Data) -> RwLock:
        """Returns this session's handles of a read-write lock."""
        return RwLock(self, name)

    def semaphore(self, name: Data, permits: int) -> Semaphore:
        """Returns a semaphore with a number of permits, which is the same for all contenders."""
        return Semaphore(self, name, permits)

    def double_barrier(self, name: Data, count: int) -> DoubleBarrier:
        """Returns this session's handle of a double barrier for `count` sessions."""
        return DoubleBarrier(self, name, count)

    async def once(
        self, name: Data, work: Callable[[], Awaitable[Data]], *, timeout: Optional[float] = None
    ) -> OnceResult:
        """Runs `work` if no one has done so yet, and returns the result of the one that has."""
        return await _once.once(self, name, work, timeout)

    def election(self, name: Data) -> Election:
        """Returns this session's handle of an election, in which it is no candidate yet."""
        return Election(self, name)

    async def close(self) -> None:
        """Revokes the lease, so that all its keys go at once (S6).

        If no server answers within the client's timeout, the lease expires by itself.
        """
        if self._closed.is_set:
            return
        had_ended = self._lost.is_set
        self._end(self._closed)
        if not had_ended:
            self._change(SessionState.LOST)
        self._close_listeners()
        self._client._sessions.discard(self)
        if had_ended:
            return
        try:
            request = rpc_pb2.LeaseRevokeRequest(ID=self._lease)
            await self._core.call(methods.LEASE_REVOKE, request, last=True)
        except errors.ConclaveError as error:
            # Gone already is as good as revoked; otherwise it expires.
            if error.name != "LeaseNotFound":
                logger.warning("session %x was not revoked and will expire: %s", self._lease, error)

    async def __aenter__(self) -> Session:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # ---- For recipes ----

    async def _while_alive(
        self, work: Coroutine[Any, Any, T], timeout: float | None, what: str
    ) -> T:
        """Runs what a recipe waits for, until the session is lost or the time is up."""
        return await until_first(
            work,
            timeout_of(work, timeout),
            lambda: errors.DeadlineError(f"{what}: the time was up"),
            self._core.closed,
            self._closed,
            self._lost,
        )

    async def _persist(
        self,
        attempt: Callable[[], Awaitable[T]],
        wait: bool = True,
        until: Optional[float] = None,
    ) -> T:
        """Repeats a step (see `persist`), and finds out by it that the lease is gone."""
        try:
            return await persist(self._core, attempt, wait=wait, until=until)
        except errors.ApiError as error:
            if error.name == "LeaseNotFound":
                self._lose()
                self._check()
            raise

    def _check(self) -> None:
        """Raises if the session is lost or closed, by the clock."""
        self._core.check_open()
        self._closed.check()
        self._look_at_clock()
        self._lost.check()

    # ---- The lease ----

    async def _keep(self) -> None:
        """Keeps the lease alive on one stream after the other, until it is lost."""
        backoff = Backoff()
        tried: set[Endpoint] = set()
        while not self._look_at_clock():
            endpoint = self._core.rotation.next(tried)
            if endpoint is None:
                tried.clear()
                await asyncio.sleep(backoff.next())
                continue
            tried.add(endpoint)
            confirmed_before = self._suspend_at
            try:
                async with open_stream(
                    self._core, methods.LEASE_KEEP_ALIVE, endpoint, (), self._ttl / 3
                ) as stream:
                    await self._renew(stream)
            except StreamBroken:
                pass
            except errors.ConclaveError as error:
                if error.name == "LeaseNotFound":
                    self._lose()
                    return
                logger.warning("session %x was not kept alive: %s", self._lease, error)
            except Exception:
                # Whatever it is, another stream may keep the lease alive until it is lost.
                logger.exception("session %x was not kept alive", self._lease)
            if self._suspend_at > confirmed_before:
                backoff.reset()
                tried = {endpoint}
            self._stream_broke()

    async def _renew(self, stream: KeepAliveStream) -> None:
        """Sends keep-alives until the stream breaks or the session is lost."""
        third = self._ttl / 3
        request = rpc_pb2.LeaseKeepAliveRequest(ID=self._lease)
        # Always reading, so that a stream that breaks between two keep-alives is known at once.
        reading = asyncio.ensure_future(stream.read())
        try:
            while True:
                sent = _clock.now()
                await within(stream.write(request), third)
                await asyncio.wait({reading}, timeout=third)
                if self._look_at_clock():
                    return
                if not reading.done():
                    raise StreamBroken("a keep-alive was not answered")
                answer = reading.result()
                if answer.TTL <= 0:
                    self._lose()
                    return
                self._confirm(sent, answer.TTL)
                reading = asyncio.ensure_future(stream.read())
                await asyncio.wait({reading}, timeout=sent + third - _clock.now())
                if self._look_at_clock():
                    return
                if reading.done():
                    reading.result()
                    raise StreamBroken("an answer without a keep-alive")
        except asyncio.TimeoutError:
            raise StreamBroken("a keep-alive could not be sent") from None
        finally:
            await cancel_and_wait(reading)

    def _confirm(self, sent: float, ttl: int) -> None:
        """The lease was confirmed to live for `ttl` seconds after it was `sent`, at least."""
        self._lost_at = sent + ttl - max(ttl / 20, 0.1)
        self._suspend_at = _clock.now() + self._ttl / 3 + 1
        if self._state is SessionState.SUSPENDED:
            self._change(SessionState.RECONNECTED)
        self._set_timer()

    def _stream_broke(self) -> None:
        if not self._lost.is_set:
            self._suspend_at = min(self._suspend_at, _clock.now() + 1)
            self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        at = self._lost_at
        if self._state is not SessionState.SUSPENDED:
            at = min(at, self._suspend_at)
        delay = max(at - _clock.now(), 0)
        self._timer = self._core.loop.call_later(delay, self._timer_fired)

    def _timer_fired(self) -> None:
        if self._look_at_clock() or self._closed.is_set:
            return
        if self._state is not SessionState.SUSPENDED and _clock.now() >= self._suspend_at:
            self._change(SessionState.SUSPENDED)
        self._set_timer()

    def _look_at_clock(self) -> bool:
        """Returns true if the session has ended. The first thing to do after each wait (S3)."""
        if not self._lost.is_set and not self._closed.is_set and _clock.now() >= self._lost_at:
            self._lose()
        return self._lost.is_set or self._closed.is_set

    def _lose(self) -> None:
        if self._lost.is_set or self._closed.is_set:
            return
        self._end(self._lost)
        self._change(SessionState.LOST)
        for own in list(self._own_keys.values()):
            own.session_lost()
        self._close_listeners()
        self._client._sessions.discard(self)

    def _end(self, how: End) -> None:
        how.set()
        if self._timer is not None:
            self._timer.cancel()
        ended(self)
        if self._keeper is not asyncio.current_task():
            self._keeper.cancel()

    def _close_listeners(self) -> None:
        self._listeners.close()
        for own in list(self._own_keys.values()):
            own.close()

    def _change(self, state: SessionState) -> None:
        self._state = state
        self._listeners.notify(state)


async def _grant(
    core: Core, request: rpc_pb2.LeaseGrantRequest, timeout: float | None
) -> rpc_pb2.LeaseGrantResponse:
    try:
        return await core.call(methods.LEASE_GRANT, request, timeout)
    except asyncio.CancelledError as error:
        # Only the end of the client cancels this task: callers who give up leave it running.
        maybe = getattr(error, "maybe", False)
        raise errors.ClosedError("the client is closed", maybe=maybe) from None


async def _revoke_granted(core: Core, granting: asyncio.Task[rpc_pb2.LeaseGrantResponse]) -> None:
    """Revokes a lease whose session was given up while it was granted."""
    await asyncio.wait({granting})
    if not granting.cancelled() and granting.exception() is None:
        request = rpc_pb2.LeaseRevokeRequest(ID=granting.result().ID)
        await core.call(methods.LEASE_REVOKE, request)
