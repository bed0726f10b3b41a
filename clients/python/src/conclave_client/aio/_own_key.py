"""A key of a session, which is put, changed and deleted so that late copies do no harm (R8).

Each write is guarded by the key's last change, so one attempt is executed, and none after a later
write. If the guard is false, the key was read in the same transaction, and the write is sent with
a new guard. So it takes one round trip, and more only after an attempt whose fate is unknown.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any, AsyncIterator, Iterator, Optional

from .. import errors, ops
from .._background import cancel_and_wait
from .._calls import Fate
from .._core import check_timeout
from .._proto import rpc_pb2
from ..types import KeyValue, TxnResult
from ._late import delete_copies
from ._steps import is_ours, repeatable_txn

if TYPE_CHECKING:
    from ._session import Session

# The value by which an owner is asked to give its key up (K3).
REVOKE = b"revoke"

# The recipes that put keys of sessions. Those of two recipes may have the same name.
_RECIPES = (
    "mutex",
    "read lock",
    "write lock",
    "semaphore",
    "election",
    "double barrier",
    "member",
)

# Those whose owners can be asked to give the key up.
_REVOCABLE = _RECIPES[:4]


class OwnKey:
    """A key with a session's lease. All handles of the same session, recipe and key share it."""

    def __init__(self, session: Session, recipe: str, key: bytes) -> None:
        self.session = session
        self.key = key
        # The create revision of the key that was put, or 0. A key of the session that has another
        # one is a late copy, unless a contender is about to find it, which holds the lock.
        self.token = 0
        # The revision at which the key was put by the present entry.
        self.entered_at = 0
        # A revocation was found by that entry.
        self.was_revoked = False
        # Shared with other recipes at the same key.
        self.lock = session._key_locks.setdefault(key, asyncio.Lock())
        # The entry of the last handle, or 0, where each entry makes one.
        self.handle = 0
        # Callers that enter.
        self.callers = 0
        self._recipe = recipe
        # The mod revision after the last change, or 0.
        self._changed = 0
        # The put of the key.
        self._entering: Optional[asyncio.Task[Any]] = None
        # The deletion of the key, by one that has given up or unlocks, and its attempts' fate.
        self._leaving: Optional[asyncio.Task[None]] = None
        self._leaving_fate = Fate()
        # The deletion of late copies.
        self._late: Optional[asyncio.Task[None]] = None

    @property
    def in_use(self) -> bool:
        """True while there is a key, or one is being put or deleted."""
        return self.token != 0 or self.callers > 0 or self._leaving is not None

    @contextlib.contextmanager
    def reserved(self) -> Iterator[None]:
        """Reserves the key for this recipe. Raises `InvalidError` if another one uses it."""
        for other in _at_key(self.session, self.key):
            if other is not self and other.in_use:
                raise errors.InvalidError(
                    f"{self.key!r} is in use by this session's {other._recipe}; "
                    "use another name, or another session"
                )
        self.callers += 1
        try:
            yield
        finally:
            self.callers -= 1

    @contextlib.asynccontextmanager
    async def in_turn(self, until: Optional[float]) -> AsyncIterator[None]:
        """Holds the lock. Raises `DeadlineError` if that is not possible until then."""
        if until is None:
            async with self.lock:
                yield
            return
        taking = asyncio.ensure_future(self.lock.acquire())
        try:
            await asyncio.wait({taking}, timeout=max(until - time.monotonic(), 0))
            if not taking.done():
                raise errors.DeadlineError(f"another task still writes {self.key!r}")
            yield
        finally:
            await cancel_and_wait(taking)
            if not taking.cancelled():
                self.lock.release()

    def deadline(self, timeout: Optional[float]) -> float:
        """Returns when the time of a call is up."""
        timeout = self.session._core.timeout if timeout is None else check_timeout(timeout)
        return time.monotonic() + timeout

    async def put(
        self, value: bytes, *also: rpc_pb2.RequestOp, until: Optional[float] = None
    ) -> TxnResult:
        """Puts the key, and does something else in the same transaction, whose result it returns.

        Repeated as long as that can help, or, with `until`, only to find out the outcome of an
        attempt, and not after then. The caller has the lock.
        """
        if self._leaving is not None:
            left = None if until is None else max(until - time.monotonic(), 0)
            await asyncio.wait({self._leaving}, timeout=left)
            if self._leaving is not None:
                raise errors.UnavailableError(f"the deletion of {self.key!r} is not confirmed yet")
        self.session._closed.callbacks.add(self._forget)
        fate = Fate()

        async def attempt() -> TxnResult:
            # Not cancelled with the caller: a key that is created late would be left behind.
            put = self._put(value, also, until, fate)
            self._entering = self.session._core.spawn(put, f"enter {self._recipe}")
            done: TxnResult = await asyncio.shield(self._entering)
            return done

        return await self.session._persist(attempt, until is None, until)

    async def _put(
        self,
        value: bytes,
        also: tuple[rpc_pb2.RequestOp, ...],
        until: Optional[float],
        fate: Fate,
    ) -> TxnResult:
        """Puts the key, also if it is there with the same value.

        It may be left from an earlier entry, whose deletion may still be executed, but is guarded
        by an earlier change. Late copies of the put after the key's deletion are deleted.
        """
        session = self.session
        last = self._changed
        created = 0 if last == 0 else self.token
        revoked = False
        try:
            while True:
                done = await repeatable_txn(
                    session._core,
                    [ops.compare(self.key, "mod_revision", "=", last)],
                    [_put_op(self.key, value, session.lease, keep_value=revoked), *also],
                    [ops.get(self.key)],
                    timeout=_left(until),
                    fate=fate,
                )
                if done.succeeded:
                    self.token = created or done.revision
                    self._changed = self.entered_at = done.revision
                    self.was_revoked = revoked
                    return done
                found: Optional[KeyValue] = done.results[0].kv  # type: ignore[union-attr]
                last, created, revoked = 0, 0, False
                if found is not None:
                    last, created = found.mod_revision, found.create_revision
                    revoked = (
                        self._recipe in _REVOCABLE
                        and found.lease == session.lease
                        and found.value == REVOKE
                    )
        finally:
            if fate.unsettled and (self._late is None or self._late.done()) and session.is_alive:
                self._late = delete_copies(session, self.key, self._is_copy, self.lock)

    def _is_copy(self, kv: KeyValue) -> bool:
        return all(own.token != kv.create_revision for own in _at_key(self.session, self.key))

    async def set(self, value: bytes, until: float) -> bool:
        """Changes the value. Returns false if the key is gone, or another session's."""
        put = ops.put(self.key, value, lease=self.session.lease)
        changed = await self._write([put], until, Fate())
        if changed == 0:
            return False
        self._changed = changed
        return True

    async def delete(
        self,
        *also: rpc_pb2.RequestOp,
        until: Optional[float] = None,
        fate: Optional[Fate] = None,
    ) -> None:
        """Deletes the key, and does something else with it. One that is another's stays."""
        token = self.token
        until = self.deadline(None) if until is None else until
        await self._write([ops.delete(self.key), *also], until, Fate() if fate is None else fate)
        if self.token == token:
            self._is_gone()

    async def _write(self, then: list[rpc_pb2.RequestOp], until: float, fate: Fate) -> int:
        """Writes the key that was put. Returns the revision, or 0 if it is gone or another's."""
        session, token, last = self.session, self.token, self._changed
        while True:
            done = await repeatable_txn(
                session._core,
                is_ours(session, self.key, token, last),
                then,
                [ops.get(self.key)],
                timeout=_left(until),
                fate=fate,
            )
            if done.succeeded:
                return done.revision
            found: Optional[KeyValue] = done.results[0].kv  # type: ignore[union-attr]
            # A session that replaces another one's key keeps its create revision.
            if found is None or (found.create_revision, found.lease) != (token, session.lease):
                return 0
            last = found.mod_revision

    async def withdraw(self) -> None:
        """Deletes the key, in the background if that takes more than a moment."""
        core = self.session._core
        if not self.session.is_alive or core.closed.is_set:
            return
        if self._leaving is None:
            self._leaving_fate = Fate()
            self._leaving = core.spawn(self._leave(), f"leave {self._recipe}")
        await core.settle(self._leaving)

    async def _leave(self) -> None:
        try:
            await self._until_entered()
            # If it is not known, nothing was put, or only what is deleted as a late copy.
            if self.token != 0:
                await self.session._persist(lambda: self.delete(fate=self._leaving_fate))
        finally:
            self._is_gone()
            self._leaving = None

    async def _until_entered(self) -> None:
        if self._entering is not None and not self._entering.done():
            await asyncio.wait({self._entering})

    def _is_gone(self) -> None:
        self.token = 0
        self._changed = 0
        self.handle = 0
        self._forget()

    def _forget(self) -> None:
        """Lets this end with its handles, since there is no key any more.

        As long as there is one, the session must know of it: a handle that is garbage has not
        given it back, and another one must not take the key for its own.
        """
        self.session._closed.callbacks.discard(self._forget)

    def session_lost(self) -> None:
        """Called before anything else is done (S3)."""

    def close(self) -> None:
        """The session has ended."""
        self._forget()


def own_key(session: Session, recipe: str, key: bytes) -> OwnKey:
    """Returns the session's key, which its handles share."""
    own = session._own_keys.get((recipe, key))
    if own is None:
        own = session._own_keys[recipe, key] = OwnKey(session, recipe, key)
    return own


def _at_key(session: Session, key: bytes) -> Iterator[OwnKey]:
    """Returns what the recipes of a session have with the same key."""
    for recipe in _RECIPES:
        own = session._own_keys.get((recipe, key))
        if own is not None:
            yield own


def _put_op(key: bytes, value: bytes, lease: int, *, keep_value: bool) -> rpc_pb2.RequestOp:
    op = ops.put(key, b"" if keep_value else value, lease=lease)
    op.request_put.ignore_value = keep_value
    return op


def _left(until: Optional[float]) -> Optional[float]:
    """Returns how long a transaction may take."""
    return None if until is None else max(until - time.monotonic(), 0.001)
