"""A key of a session, which is put, changed and deleted so that late copies do no harm (R8)."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Optional

from .. import ops
from .._calls import Fate
from .._core import check_timeout
from .._proto import rpc_pb2
from ..types import KeyValue, TxnResult
from ._late import delete_copies
from ._steps import is_ours, repeatable_txn

if TYPE_CHECKING:
    from ._session import Session


class OwnKey:
    """A key with a session's lease. All handles of the same session, recipe and key share it."""

    def __init__(self, session: Session, recipe: str, key: bytes) -> None:
        self.session = session
        self.key = key
        # The create revision of the key that was put, or 0. A key of the session that has another
        # one is a late copy, unless a contender is about to find it, which holds the lock.
        self.token = 0
        self.lock = asyncio.Lock()
        self._recipe = recipe
        # The mod revision after the last change of the value.
        self._changed = 0
        # The put of the key.
        self._entering: Optional[asyncio.Task[Any]] = None
        # The deletion of the key, by one that has given up or unlocks.
        self._leaving: Optional[asyncio.Task[None]] = None
        # The deletion of late copies.
        self._late: Optional[asyncio.Task[None]] = None

    async def put(
        self,
        value: bytes,
        *also: rpc_pb2.RequestOp,
        wait: bool = True,
        timeout: Optional[float] = None,
    ) -> Optional[TxnResult]:
        """Puts the key, and does something else in the same transaction, whose result it returns.

        Returns None if the key is there already, by an attempt whose answer was lost. The caller
        has the lock.
        """
        if self._leaving is not None:
            await asyncio.wait({self._leaving})
        self.session._closed.callbacks.add(self._forget)

        async def attempt() -> Optional[TxnResult]:
            # Not cancelled with the caller: a key that is created late would be left behind.
            put = self._put(value, also, timeout)
            self._entering = self.session._core.spawn(put, f"enter {self._recipe}")
            done: Optional[TxnResult] = await asyncio.shield(self._entering)
            return done

        return await self.session._persist(attempt, wait)

    async def _put(
        self, value: bytes, also: tuple[rpc_pb2.RequestOp, ...], timeout: Optional[float]
    ) -> Optional[TxnResult]:
        """Puts the key, guarded by its last change.

        So one attempt is executed, and a late copy changes nothing while the key exists. Late
        copies after its deletion are deleted.
        """
        session = self.session
        put, get = ops.put(self.key, value, lease=session.lease), ops.get(self.key)
        found: Optional[KeyValue] = None
        fate = Fate()
        try:
            while True:
                last = 0 if found is None else found.mod_revision
                unchanged = ops.compare(self.key, "mod_revision", "=", last)
                done = await repeatable_txn(
                    session._core, [unchanged], [put, *also], [get], timeout=timeout, fate=fate
                )
                if done.succeeded:
                    self.token = done.revision if found is None else found.create_revision
                    self._changed = done.revision
                    return done
                found = done.results[0].kv  # type: ignore[union-attr]
                # An attempt that was executed without an answer, or a late copy.
                if found is not None and found.lease == session.lease and found.value == value:
                    self.token, self._changed = found.create_revision, found.mod_revision
                    return None
        finally:
            if fate.unsettled and self._late is None and session.is_alive:
                self._late = delete_copies(session, self.key, self._is_copy, self.lock)

    def _is_copy(self, kv: KeyValue) -> bool:
        # Recipes of other kinds may have a key of the same name.
        return all(
            (own.key, own.token) != (kv.key, kv.create_revision)
            for own in list(self.session._own_keys.values())
        )

    async def set(self, value: bytes, timeout: Optional[float]) -> bool:
        """Changes the value. Returns false if the key is gone, or another session's.

        Each attempt is guarded by the last change, so that one that is executed late does not undo
        a later one.
        """
        session, token, last = self.session, self.token, self._changed
        timeout = session._core.timeout if timeout is None else check_timeout(timeout)
        until = time.monotonic() + timeout
        fate = Fate()
        while True:
            done = await repeatable_txn(
                session._core,
                [
                    *is_ours(session, self.key, token),
                    ops.compare(self.key, "mod_revision", "=", last),
                ],
                [ops.put(self.key, value, lease=session.lease)],
                [ops.get(self.key)],
                timeout=max(until - time.monotonic(), 0.001),
                fate=fate,
            )
            if done.succeeded:
                self._changed = done.revision
                return True
            found = done.results[0].kv  # type: ignore[union-attr]
            if found is None or (found.create_revision, found.lease) != (token, session.lease):
                return False
            last = found.mod_revision
            # An attempt that was executed without an answer.
            if found.value == value:
                self._changed = last
                return True

    async def delete(self, *also: rpc_pb2.RequestOp, timeout: Optional[float] = None) -> None:
        """Deletes the key, and does something else with it. One that is another's stays."""
        token = self.token
        await repeatable_txn(
            self.session._core,
            is_ours(self.session, self.key, token),
            [ops.delete(self.key), *also],
            timeout=timeout,
        )
        if self.token == token:
            self._is_gone()

    async def withdraw(self) -> None:
        """Deletes the key, in the background if that takes more than a moment."""
        core = self.session._core
        if not self.session.is_alive or core.closed.is_set:
            return
        if self._leaving is None:
            self._leaving = core.spawn(self._leave(), f"leave {self._recipe}")
        await core.settle(self._leaving)

    async def _leave(self) -> None:
        try:
            await self._until_entered()
            # If it is not known, nothing was put, or only what is deleted as a late copy.
            if self.token != 0:
                await self.session._persist(self.delete)
        finally:
            self._is_gone()
            self._leaving = None

    async def _until_entered(self) -> None:
        if self._entering is not None and not self._entering.done():
            await asyncio.wait({self._entering})

    def _is_gone(self) -> None:
        self.token = 0
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
