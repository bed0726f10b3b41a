"""One session's place in a queue of contenders, which several recipes have in common.

A contender creates a key with the session's lease, and waits for the deletion of exactly the key
before its own, in the order of create revisions. The owner is the contender that waits for none.
Its create revision is the fencing token (K1).
"""

from __future__ import annotations

import asyncio
import enum
import functools
from typing import TYPE_CHECKING, Any, Optional

from .. import errors, ops
from .._background import until_first
from .._core import CLEANUP_WAIT, check_timeout
from .._listeners import Listeners
from .._pause import Backoff
from .._proto import methods, rpc_pb2
from ..types import EventType, KeyValue, ListResult, list_result
from ._steps import wait_for_event

if TYPE_CHECKING:
    from ._session import Session

# The value by which an owner is asked to give its key up (K3).
REVOKE = b"revoke"


class OwnerEvent(enum.Enum):
    """What has happened to the owner of a key."""

    LOST = "lost"
    """The key is gone, or the session is lost: what it guarded must be stopped."""
    REVOKE = "revoke"
    """Someone asks the owner to give the key up."""


class Place:
    """A contender's key. All handles of the same session and name share it."""

    def __init__(self, session: Session, recipe: str, key: bytes, before: bytes) -> None:
        self.session = session
        self.key = key
        self.token = 0
        # Handles that count on the key.
        self.holders = 0
        self.owned = False
        self.listeners: Listeners[OwnerEvent] = Listeners(
            session._core.background, f"{recipe} listener"
        )
        self._recipe = recipe
        self._suffix = b"/" + session.lease_hex.encode()
        # The key to wait for, if any, and the revision, as read by the transaction that has created
        # the own key. None if that is not known, or was used.
        self._entered: Optional[tuple[Optional[KeyValue], int]] = None
        # The prefix of the keys that this contender waits for.
        self._before = before
        self._lock = asyncio.Lock()
        # Set when an ownership ends.
        self._ended = asyncio.Event()
        self._entering: Optional[asyncio.Task[Any]] = None
        self._leaving: Optional[asyncio.Task[None]] = None
        self._guard: Optional[asyncio.Task[None]] = None

    @property
    def is_held(self) -> bool:
        """True while the key is the owner's, by the clock; for any thread."""
        return self.owned and self.session.is_alive

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
                await self.give_back()
            raise

    async def _acquire(self, value: bytes, wait: bool, acquired: list[bool]) -> bool:
        async with self._lock:
            if self.is_held:
                self.holders += 1
                acquired.append(True)
                return True
            try:
                turn: Optional[bool] = None
                while turn is None:
                    await self._enter(value, wait)
                    turn = await self._turn(wait)
            except BaseException:
                await self._give_up(CLEANUP_WAIT)
                raise
            if not turn:
                await self._give_up(self.session._core.timeout)
                return False
            self.owned = True
            self._ended.clear()
            self.holders = 1
            acquired.append(True)
            self._watch_own_key()
            return True

    async def _enter(self, value: bytes, wait: bool) -> None:
        """Creates the key, or finds it from an attempt whose answer was lost."""
        if self._leaving is not None:
            await asyncio.shield(self._leaving)
        session = self.session
        txn = rpc_pb2.TxnRequest(
            compare=[ops.owner(self.key, 0)],
            success=[ops.put(self.key, value, lease=session.lease), self._range_last()],
            failure=[ops.get(self.key)],
        )
        self._entered = None

        async def enter() -> None:
            # Not cancelled with the caller: a key that is created late would be left behind.
            self._entering = session._core.spawn(
                session._core.call(methods.KV_TXN, txn), f"enter {self._recipe}"
            )
            answer = await asyncio.shield(self._entering)
            if answer.succeeded:
                self.token = answer.header.revision
                last = list_result(answer.responses[1].response_range).kvs
                self._entered = self._previous(last), self.token
                return
            kv = answer.responses[0].response_range.kvs[0]
            if kv.lease != session.lease:
                raise errors.InvalidError(f"{self.key!r} exists and is not of this session")
            self.token = kv.create_revision

        await session._persist(enter, wait)

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
            if previous is None:
                return True
            if not wait:
                return False
            deleted = functools.partial(self._deleted, previous.key, revision)
            await self.session._persist(deleted, wait)

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
        self.holders = 0
        self.owned = False
        self._stop_watching()
        self._ended.set()
        if was_alive:
            done = await self._give_up(self.session._core.timeout if timeout is None else timeout)
            if not done:
                raise errors.UnavailableError(
                    f"no server has confirmed the deletion of {self.key!r}; it is tried until the "
                    "session ends"
                )

    async def _give_up(self, wait: float) -> bool:
        """Deletes the key. Returns true if that has happened within `wait` seconds."""
        if not self.session.is_alive or self.session._core.closed.is_set:
            return True
        if self._leaving is None:
            self._leaving = self.session._core.spawn(self._leave(), f"leave {self._recipe}")
        await asyncio.wait({self._leaving}, timeout=wait)
        return self._leaving is None or self._leaving.done()

    async def _leave(self) -> None:
        """Deletes the key, whatever time that takes, while the session lives."""
        if self._entering is not None and not self._entering.done():
            await asyncio.wait({self._entering})
        backoff = Backoff()
        # By the lease, since the answer with the token may have been lost.
        mine = [ops.compare(self.key, "lease", "=", self.session.lease)]
        try:
            while self.session.is_alive:
                try:
                    await self.session._client.txn(mine, [ops.delete(self.key)])
                    return
                except errors.ConclaveError as error:
                    if not error.retry:
                        return
                    await asyncio.sleep(backoff.next())
        finally:
            self.token = 0
            self._leaving = None

    def session_lost(self) -> None:
        """Called before anything else is done (S3)."""
        if self.owned:
            self._lose()

    def _lose(self) -> None:
        self.owned = False
        self.holders = 0
        self._stop_watching()
        self._ended.set()
        self.listeners.notify(OwnerEvent.LOST)

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
        """The session has ended."""
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
        after = self.token
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
    place = session._places.get((recipe, key))
    if place is None:
        place = session._places[(recipe, key)] = Place(session, recipe, key, before)
    return place
