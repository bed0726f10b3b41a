"""Double barrier: sessions enter together and leave together (K8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

from .. import errors, ops
from .._keys import Data, to_int, to_name
from .._proto import rpc_pb2
from ..types import EventType, GetResult, ListResult
from ._steps import wait_for_event

if TYPE_CHECKING:
    from ._session import Session


class DoubleBarrier:
    """A double barrier for `count` sessions, as seen by one of them."""

    def __init__(self, session: Session, name: Data, count: int) -> None:
        self._session = session
        self._count = to_int(count, "a count", 1)
        prefix = to_name(name)
        self._waiters = prefix + b"/waiters/"
        self._key = self._waiters + session.lease_hex.encode()
        self._ready = prefix + b"/ready"

    async def enter(self, *, timeout: Optional[float] = None) -> None:
        """Waits until `count` sessions have entered.

        Raises `InvalidError` if there are more than that.
        """
        self._session._check()
        try:
            await self._session._while_alive(self._enter(), timeout, "entering a double barrier")
        except BaseException:
            await self._withdraw()
            raise

    async def _enter(self) -> None:
        txn: list[Any] = []
        waiters = ops.get(self._waiters, prefix=True)
        waiters.request_range.keys_only = True

        async def register() -> None:
            txn[:] = [
                await self._session._client.txn(
                    [],
                    [
                        ops.put(self._key, "", lease=self._session.lease),
                        ops.get(self._ready),
                        waiters,
                    ],
                )
            ]

        await self._session._persist(register)
        _, ready, present = txn[0].results
        assert isinstance(ready, GetResult)
        assert isinstance(present, ListResult)
        if present.count > self._count:
            raise errors.InvalidError(f"more than {self._count} sessions enter the double barrier")
        if ready.kv is not None:
            return
        if present.count == self._count:
            await self._session._persist(self._set_ready)
            return

        async def wait() -> None:
            found = await self._session._client.get(self._ready)
            if found.kv is None:
                await wait_for_event(
                    self._session._core, self._ready, txn[0].revision, EventType.PUT
                )

        await self._session._persist(wait)

    async def _set_ready(self) -> None:
        await self._session._client.put(self._ready, "")

    async def _withdraw(self) -> None:
        if self._session.is_alive and not self._session._core.closed.is_set:
            leaving = self._session._core.spawn(self._delete_own(), "leave a double barrier")
            await self._session._core.settle(leaving)

    async def _delete_own(self) -> None:
        async def delete() -> None:
            await self._session._client.delete(self._key)

        await self._session._persist(delete)

    async def leave(self, *, timeout: Optional[float] = None) -> None:
        """Waits until all sessions have left."""
        self._session._check()
        await self._session._while_alive(self._leave(), timeout, "leaving a double barrier")

    async def _leave(self) -> None:
        """As in etcd's recipe: all wait for the oldest, which waits for the last one but itself.

        So `ready` is gone before the last one has left, and the barrier can be used again.
        """
        while True:
            done: list[bool] = []

            async def step(done: list[bool] = done) -> None:
                done.append(await self._leave_step())

            await self._session._persist(step)
            if done[-1]:
                return

    async def _leave_step(self) -> bool:
        client, core = self._session._client, self._session._core
        op = ops.get(self._waiters, prefix=True)
        op.request_range.sort_target = rpc_pb2.RangeRequest.CREATE
        found = await client.txn([], [op])
        (waiters,) = found.results
        assert isinstance(waiters, ListResult)
        if not waiters.kvs:
            return True
        oldest, newest = waiters.kvs[0].key, waiters.kvs[-1].key
        if oldest != self._key:
            await client.delete(self._key)
            await wait_for_event(core, oldest, found.revision, EventType.DELETE)
        elif newest == self._key:
            await client.txn([], [ops.delete(self._ready), ops.delete(self._key)])
            return True
        else:
            await wait_for_event(core, newest, found.revision, EventType.DELETE)
        return False
