"""Mutex: at most one session holds it (K2, K3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from .. import errors, ops
from .._keys import Data, to_name
from .._proto import methods, rpc_pb2
from ..types import KeyValue, ListResult, list_result
from ._own_key import REVOKE
from ._owner import Owner
from ._place import place_of

if TYPE_CHECKING:
    from ._client import Client
    from ._session import Session


class Lock(Owner):
    """A mutex, or one side of a read-write lock.

    Reentrant: unlock as often as you have locked. `async with` locks and unlocks.
    """

    async def lock(self, *, timeout: Optional[float] = None) -> None:
        """Waits for the lock, however long, or for `timeout` seconds (`DeadlineError`)."""
        await self._acquire(b"", timeout, True)

    async def try_lock(self) -> bool:
        """Locks if there is nothing to wait for. Returns false if there is."""
        return await self._acquire(b"", None, False)

    async def unlock(self, *, timeout: Optional[float] = None) -> None:
        """Unlocks. Raises `SessionLostError` if the lock was lost before.

        If the server refuses to delete the lock's key, its error is raised. The lock is not held
        by this handle then, and the deletion is tried in the background until the session ends.
        """
        await self._give_back(timeout)

    async def __aenter__(self) -> Lock:
        await self.lock()
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        try:
            await self.unlock()
        except errors.ConclaveError:
            # The error of the block is the more important one.
            if kind is None:
                raise


class Mutex(Lock):
    """A mutex of one session: fair and reentrant. Its keys are `{name}/{lease}`, as in etcd's own
    clients. All handles of one session and name share the session's place in the queue."""

    def __init__(self, session: Session, name: Data) -> None:
        prefix = to_name(name) + b"/"
        key = prefix + session.lease_hex.encode()
        super().__init__(place_of(session, "mutex", key, prefix))


async def contenders(client: Client, name: Data, timeout: Optional[float]) -> list[KeyValue]:
    """Returns the keys of all that hold or wait, the owner's first."""
    op = ops.get(to_name(name) + b"/", prefix=True).request_range
    op.sort_target = rpc_pb2.RangeRequest.CREATE
    op.sort_order = rpc_pb2.RangeRequest.ASCEND
    return list_result(await client.call(methods.KV_RANGE, op, timeout=timeout)).kvs


async def revoke(client: Client, name: Data, timeout: Optional[float]) -> bool:
    """Asks the owner to unlock (K3). Returns false if there was none."""
    first = ops.get(to_name(name) + b"/", prefix=True)
    first.request_range.sort_target = rpc_pb2.RangeRequest.CREATE
    first.request_range.limit = 1
    while True:
        read = await client.txn([], [first], timeout=timeout)
        assert isinstance(read.results[0], ListResult)
        if not read.results[0].kvs:
            return False
        kv = read.results[0].kvs[0]
        asked = await client.txn(
            [ops.owner(kv.key, kv.create_revision)],
            [ops.put(kv.key, REVOKE, keep_lease=True)],
            timeout=timeout,
        )
        # Otherwise there is another owner by now.
        if asked.succeeded:
            return True
