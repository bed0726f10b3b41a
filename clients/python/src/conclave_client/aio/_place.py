"""One session's place in a queue of contenders, which several recipes have in common.

A contender creates a key with the session's lease, and waits for the deletion of exactly the key
before its own, in the order of create revisions. The owner is the contender that waits for none.
Its create revision is the fencing token (K1).
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import functools
import time
from typing import TYPE_CHECKING, Any, Optional

from .. import errors, ops
from .._background import until_first, within
from .._calls import Fate
from .._core import CLEANUP_WAIT, check_timeout
from .._listeners import Listeners
from .._pause import Backoff
from .._proto import rpc_pb2
from ..types import EventType, KeyValue, ListResult
from ._own_key import REVOKE, OwnKey
from ._steps import wait_for_event

if TYPE_CHECKING:
    from ._session import Session

# The longest pause, in seconds, between attempts to delete a key that the server refuses to delete.
_REFUSED_PAUSE = 5.0


class OwnerEvent(enum.Enum):
    """An event of the owner of a key."""

    LOST = "lost"
    """The key is gone, or the session is lost: what it guarded must be stopped."""
    REVOKE = "revoke"
    """Someone asks the owner to give the key up."""


class Place(OwnKey):
    """A contender's key."""

    def __init__(self, session: Session, recipe: str, key: bytes, before: bytes) -> None:
        super().__init__(session, recipe, key)
        # Handles that count on the key.
        self.holders = 0
        self.owned = False
        # Callers that wait for the ownership, however long.
        self._waiting = 0
        self.listeners: Listeners[OwnerEvent] = Listeners(
            session._core.background, f"{recipe} listener"
        )
        self._suffix = b"/" + session.lease_hex.encode()
        # The key to wait for, if any, and the revision, as read by the transaction that has created
        # the own key. None if that is not known, or was used.
        self._entered: Optional[tuple[Optional[KeyValue], int]] = None
        # The prefix of the keys that this contender waits for.
        self._before = before
        # Set while it is the owner, and when an ownership has ended.
        self._began = asyncio.Event()
        self._ended = asyncio.Event()
        # Callers wait for the outcome of `_leaving`: the error with which the server refuses the
        # deletion, or None when there is nothing to wait for any more.
        self._outcome = self._new_outcome()
        # Set to delete the key now, instead of after the pause that follows an error.
        self._hurry = asyncio.Event()
        self._guard: Optional[asyncio.Task[None]] = None

    @property
    def is_held(self) -> bool:
        """True while the key is the owner's, by the clock; for any thread."""
        return self.owned and self.session.is_alive

    @property
    def in_use(self) -> bool:
        # The token is known after a loss, too.
        return self.owned or self.callers > 0 or self._leaving is not None

    # ---- To become the owner ----

    async def acquire(
        self, value: bytes = b"", *, timeout: Optional[float] = None, wait: bool = True
    ) -> bool:
        """Waits to be the owner. Returns false if `wait` is false and there is another owner."""
        self.session._check()
        acquired: list[bool] = []
        try:
            return await self.session._while_alive(
                self._acquire(value, wait, acquired), timeout, f"waiting for {self.key!r}"
            )
        except BaseException:
            # Cancelled or lost at the very moment of success: the caller does not know of it.
            if acquired:
                with contextlib.suppress(errors.ConclaveError):
                    await self.give_back(CLEANUP_WAIT)
            raise

    async def _acquire(self, value: bytes, wait: bool, acquired: list[bool]) -> bool:
        until = None if wait else self.deadline(None)
        with self.reserved():
            self._waiting += wait
            try:
                while wait or not self._is_waited_for():
                    async with self.in_turn(until):
                        if not wait and self._is_waited_for():
                            return False
                        if not self.is_held:
                            return await self._contend(value, until, acquired)
                        if await self._join(wait):
                            acquired.append(True)
                            return True
                    # It was just lost. Callers that would only try come first, and return.
                return False
            finally:
                self._waiting -= wait

    def _is_waited_for(self) -> bool:
        """Returns true if another task of the session waits for the ownership."""
        return self._waiting > 0 and not self.is_held

    async def _contend(self, value: bytes, until: Optional[float], acquired: list[bool]) -> bool:
        """Puts the key and waits for its turn; with `until`, only if there is none to wait for."""
        wait = until is None
        try:
            turn: Optional[bool] = None
            while turn is None:
                await self._enter(value, until)
                turn = await self._turn(wait)
        except BaseException:
            await self._give_up(CLEANUP_WAIT)
            raise
        if not turn:
            error = await self._give_up(self.session._core.timeout)
            if error is not None:
                raise error
            return False
        self.owned = True
        self._began.set()
        self._ended.clear()
        self.holders = 1
        acquired.append(True)
        self._watch_own_key()
        return True

    async def _join(self, wait: bool) -> bool:
        """Adds a holder, unless someone has deleted the key."""
        token = self.token
        # Before the key is read, so that the other holders cannot delete it in the meantime.
        self.holders += 1
        try:
            return await self._is_mine(wait)
        except BaseException:
            if self.owned and self.token == token:
                with contextlib.suppress(errors.ConclaveError):
                    await self.give_back(CLEANUP_WAIT)
            raise

    async def _is_mine(self, wait: bool) -> bool:
        """Reads the key of this owner. If someone has deleted it, it is lost."""
        token = self.token
        found: list[Optional[KeyValue]] = []

        async def read() -> None:
            found[:] = [(await self.session._client.get(self.key)).kv]

        await self.session._persist(read, wait)
        if not self.is_held or self.token != token:
            return False
        (kv,) = found
        if kv is None or kv.create_revision != token:
            self._lose()
            return False
        return True

    def _new_outcome(self) -> asyncio.Future[Optional[errors.ConclaveError]]:
        return self.session._core.loop.create_future()

    async def _enter(self, value: bytes, until: Optional[float]) -> None:
        """Puts the key, after a former one was deleted."""
        while self._leaving is not None:
            if self._outcome.done():
                # The server may permit by now what it has refused before.
                self._outcome = self._new_outcome()
                self._hurry.set()
            left = None if until is None else max(until - time.monotonic(), 0)
            refused = await self._left(left)
            if refused is not None:
                raise refused
        self._entered = None
        done = await self.put(value, self._range_last(), until=until)
        # A key that was there has an earlier place in the queue.
        if self.token == done.revision:
            last = done.results[1]
            assert isinstance(last, ListResult)
            self._entered = self._previous(last.kvs), self.token

    async def _turn(self, wait: bool) -> Optional[bool]:
        """Returns true for the owner, false for another one if not to `wait`, None if the key of
        this contender is gone."""
        while True:
            if self._entered is not None:
                previous, revision = self._entered
                self._entered = None
            else:
                found: list[Any] = []

                async def look(found: list[Any] = found) -> None:
                    found[:] = await self._look()

                await self.session._persist(look, wait)
                own, previous, revision = found
                if own is None or own.create_revision != self.token:
                    return None
            if previous is None or await self._is_admitted(wait):
                return True
            if not wait:
                return False
            deleted = functools.partial(self._deleted, previous.key, revision)
            await self.session._persist(deleted, wait)

    async def _is_admitted(self, wait: bool) -> bool:
        """Returns true if this contender need not wait for the one before it."""
        return False

    async def _look(self) -> tuple[Optional[KeyValue], Optional[KeyValue], int]:
        """Returns the own key, the one to wait for, and the revision of both."""
        before = self._range_before()
        txn = await self.session._client.txn([], [ops.get(self.key), before])
        own, others = txn.results
        assert isinstance(others, ListResult)
        return own.kv, self._previous(others.kvs), txn.revision  # type: ignore[union-attr]

    def _previous(self, last: list[KeyValue]) -> Optional[KeyValue]:
        """Returns the key to wait for, of the last ones up to the own."""
        # A session does not wait for itself: a writer may read, too.
        return next((kv for kv in last if not kv.key.endswith(self._suffix)), None)

    def _range_last(self) -> rpc_pb2.RequestOp:
        """Reads the last keys, in the transaction that creates the own key after them."""
        op = ops.get(self._before, prefix=True)
        op.request_range.sort_target = rpc_pb2.RangeRequest.CREATE
        op.request_range.sort_order = rpc_pb2.RangeRequest.DESCEND
        op.request_range.keys_only = True
        # Three, of which two may be of this session: the own key, and that of the other side.
        op.request_range.limit = 3
        return op

    def _range_before(self) -> rpc_pb2.RequestOp:
        op = self._range_last()
        op.request_range.max_create_revision = self.token - 1
        return op

    async def _deleted(self, key: bytes, after: int) -> None:
        await wait_for_event(self.session._core, key, after, EventType.DELETE)

    # ---- To be the owner no longer ----

    async def give_back(self, timeout: Optional[float] = None) -> None:
        """Drops one holder. The last one deletes the key."""
        if self.holders > 1:
            self.holders -= 1
            return
        was_alive = self.session.is_alive
        self._end()
        if was_alive:
            error = await self._give_up(self.session._core.timeout if timeout is None else timeout)
            if error is not None:
                raise error

    async def _give_up(self, wait: float) -> Optional[errors.ConclaveError]:
        """Deletes the key. Returns why that has not happened within `wait` seconds.

        It is tried in the background then, while the session lives.
        """
        if not self.session.is_alive or self.session._core.closed.is_set:
            return None
        if self._leaving is None:
            self._outcome = self._new_outcome()
            self._hurry.clear()
            self._leaving_fate = Fate()
            self._leaving = self.session._core.spawn(self._leave(), f"leave {self._recipe}")
        return await self._left(wait)

    async def _left(self, wait: Optional[float]) -> Optional[errors.ConclaveError]:
        """Waits for the deletion of the key, and returns why it has not happened."""
        if self._leaving is None:
            return None
        leaving, outcome = self._leaving, self._outcome
        # The task is cancelled with the client, maybe before it has begun.
        waiting: set[asyncio.Future[Any]] = {leaving, outcome}
        await asyncio.wait(waiting, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
        if outcome.done():
            return outcome.result()
        if leaving.done():
            return None
        text = (
            f"no server has confirmed the deletion of {self.key!r}; it is tried until the "
            "session ends"
        )
        if self._leaving_fate.maybe:
            return errors.MaybeHappenedError(text)
        return errors.UnavailableError(text)

    async def _leave(self) -> None:
        """Deletes the key, whatever time that takes, while the session lives."""
        try:
            await self._until_entered()
            await self._before_deletion()
            backoff, refused = Backoff(), Backoff(longest=_REFUSED_PAUSE)
            # Without a token nothing was put, or only what is deleted as a late copy.
            while self.token != 0 and self.session.is_alive:
                try:
                    return await self.delete(fate=self._leaving_fate)
                except errors.ClosedError:
                    # The sessions are closed with the client, and the key goes with its session.
                    return
                except errors.ConclaveError as error:
                    if not error.retry:
                        self._settle(error)
                    pause = (backoff if error.retry else refused).next()
                await self._pause(pause)
        finally:
            self._is_gone()
            self._leaving = None
            self._settle(None)

    async def _before_deletion(self) -> None:
        """Waits until the key may be deleted."""

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(asyncio.TimeoutError):
            await within(self._hurry.wait(), seconds)
        self._hurry.clear()

    def _settle(self, outcome: Optional[errors.ConclaveError]) -> None:
        if not self._outcome.done():
            self._outcome.set_result(outcome)

    def session_lost(self) -> None:
        if self.owned:
            self._lose()

    def _lose(self) -> None:
        self._end()
        self._changed = 0
        self._forget()
        self.listeners.notify(OwnerEvent.LOST)

    def _end(self) -> None:
        self.owned = False
        self.holders = 0
        self._began.clear()
        self._stop_watching()
        self._ended.set()

    async def wait_lost(self, timeout: Optional[float]) -> None:
        """Waits until the key is not held any more."""
        if timeout is not None:
            check_timeout(timeout)
        if self.is_held:
            self.listen()
            await until_first(
                self._ended.wait(),
                timeout,
                lambda: errors.DeadlineError(f"{self.key!r} is held still"),
                self.session._core.closed,
                self.session._closed,
            )

    def close(self) -> None:
        super().close()
        self._stop_watching()
        self._ended.set()
        self.listeners.close()

    # ---- The own key ----

    def listen(self) -> None:
        """Watches the owner's key from now on, since someone listens."""
        self._watch_own_key(force=True)

    def _watch_own_key(self, *, force: bool = False) -> None:
        # A stream for each lock would be a waste if no one listens.
        wanted = force or self.listeners.is_used
        if self.owned and wanted and self._guard is None:
            self._guard = self.session._core.spawn(self._watch(), f"guard {self._recipe}")

    def _stop_watching(self) -> None:
        guard, self._guard = self._guard, None
        if guard is not None and guard is not asyncio.current_task():
            guard.cancel()

    async def _watch(self) -> None:
        # With the entry itself if it has found a revocation.
        after = self.entered_at - self.was_revoked
        backoff = Backoff()
        while True:
            try:
                async with self.session._client.watch(self.key, revision=after + 1) as watch:
                    async for batch in watch:
                        after = batch.revision
                        for event in batch.events:
                            if event.type is EventType.DELETE:
                                return self._lose()
                            if event.value == REVOKE:
                                self.listeners.notify(OwnerEvent.REVOKE)
            except errors.CompactedError:
                now = await self.session._client.get(self.key)
                if now.kv is None or now.kv.create_revision != self.token:
                    return self._lose()
                if now.kv.value == REVOKE:
                    self.listeners.notify(OwnerEvent.REVOKE)
                after = now.revision
            except errors.ConclaveError as error:
                if not error.retry:
                    return None
                await asyncio.sleep(backoff.next())


def place_of(session: Session, recipe: str, key: bytes, before: bytes) -> Place:
    """Returns the session's place with this key, which its handles share."""
    place = session._own_keys.get((recipe, key))
    if place is None:
        place = session._own_keys[recipe, key] = Place(session, recipe, key, before)
    assert isinstance(place, Place)
    return place
