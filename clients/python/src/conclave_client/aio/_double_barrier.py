"""Double barrier: sessions enter together and leave together (K8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from .. import errors, ops
from .._calls import Fate
from .._keys import Data, to_int, to_name
from .._proto import rpc_pb2
from ..types import EventType, GetResult, ListResult
from ._own_key import own_key
from ._steps import is_ours, repeatable_txn, wait_for_event

if TYPE_CHECKING:
    from ._session import Session


class DoubleBarrier:
    """A double barrier for `count` sessions, as seen by one of them."""

    def __init__(self, session: Session, name: Data, count: int) -> None:
        self._session = session
        self._count = to_int(count, "a count", 1)
        prefix = to_name(name)
        self._waiters = prefix + b"/waiters/"
        key = self._waiters + session.lease_hex.encode()
        self._own = own_key(session, "double barrier", key)
        self._ready = prefix + b"/ready"

    async def enter(self, *, timeout: Optional[float] = None) -> None:
        """Waits until `count` sessions have entered.

        Raises `InvalidError` if there are more than that.
        """
        self._session._check()
        await self._session._while_alive(self._enter(), timeout, "entering a double barrier")

    async def _enter(self) -> None:
        with self._own.reserved():
            async with self._own.lock:
                try:
                    await self._until_ready()
                except BaseException:
                    await self._own.withdraw()
                    raise

    async def _until_ready(self) -> None:
        session, own = self._session, self._own
        waiters = ops.get(self._waiters, prefix=True)
        waiters.request_range.keys_only = True
        reads = [ops.get(self._ready), waiters]
        done = await own.put(b"", *reads)
        ready, present = done.results[-2:]
        assert isinstance(ready, GetResult)
        assert isinstance(present, ListResult)
        if present.count > self._count:
            raise errors.InvalidError(f"more than {self._count} sessions enter the double barrier")
        # One that is older than the own key is left over from a former round.
        last = 0 if ready.kv is None else ready.kv.mod_revision
        if last > own.token:
            return
        if present.count == self._count:
            fate = Fate()
            await session._persist(lambda: self._set_ready(last, fate))
            return
        revision = done.revision

        async def wait() -> None:
            found = await session._client.get(self._ready)
            if found.kv is None or found.kv.mod_revision < own.token:
                await wait_for_event(session._core, self._ready, revision, EventType.PUT)

        await session._persist(wait)

    async def _set_ready(self, last: int, fate: Fate) -> None:
        own = self._own
        # A copy that is executed late must not let in the next round.
        guards = [
            ops.compare(self._ready, "mod_revision", "=", last),
            *is_ours(self._session, own.key, own.token, own.entered_at),
        ]
        done = await repeatable_txn(
            self._session._core, guards, [ops.put(self._ready, "")], [ops.get(own.key)], fate=fate
        )
        if not done.succeeded:
            # Another attempt, or another session, has let all in.
            kv = done.results[0].kv  # type: ignore[union-attr]
            if kv is None or kv.mod_revision != own.entered_at:
                raise errors.ClosedError(f"{own.key!r} was deleted or changed by someone else")

    async def leave(self, *, timeout: Optional[float] = None) -> None:
        """Waits until all sessions have left."""
        self._session._check()
        await self._session._while_alive(self._leave(), timeout, "leaving a double barrier")

    async def _leave(self) -> None:
        """As in etcd's recipe: all wait for the oldest, which waits for the last one but itself.

        So `ready` is gone before the last one has left, and the barrier can be used again.
        """
        fate = Fate()
        while not await self._session._persist(lambda: self._leave_step(fate)):
            pass

    async def _leave_step(self, fate: Fate) -> bool:
        client, core = self._session._client, self._session._core
        op = ops.get(self._waiters, prefix=True)
        op.request_range.sort_target = rpc_pb2.RangeRequest.CREATE
        found = await client.txn([], [op])
        (waiters,) = found.results
        assert isinstance(waiters, ListResult)
        if not waiters.kvs:
            return True
        oldest, newest = waiters.kvs[0].key, waiters.kvs[-1].key
        if oldest != self._own.key:
            await self._own.delete(fate=fate)
            await wait_for_event(core, oldest, found.revision, EventType.DELETE)
        elif newest == self._own.key:
            await self._own.delete(ops.delete(self._ready), fate=fate)
            return True
        else:
            await wait_for_event(core, newest, found.revision, EventType.DELETE)
        return False
