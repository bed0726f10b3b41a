"""Latch: a count that goes down to zero (K9)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from .. import errors, ops
from .._keys import Data, to_int, to_name
from ..types import EventType, KeyValue
from ._counter import to_number
from ._steps import bounded, persist, wait_for_event

if TYPE_CHECKING:
    from ._client import Client


class Latch:
    """A latch. Its key has the count that is left."""

    def __init__(self, client: Client, name: Data) -> None:
        self._client = client
        self._key = to_name(name)

    async def create(self, count: int, *, timeout: Optional[float] = None) -> bool:
        """Sets the count, if there is no such latch yet. Returns whether that was so."""
        to_int(count, "a count", 0)
        absent = [ops.compare(self._key, "create_revision", "=", 0)]
        done = await self._client.txn(absent, [ops.put(self._key, str(count))], timeout=timeout)
        return done.succeeded

    async def count(self, *, timeout: Optional[float] = None) -> Optional[int]:
        """Returns the count that is left, or None if there is no such latch."""
        found = await self._client.get(self._key, timeout=timeout)
        return None if found.kv is None else to_number(found.kv)

    async def count_down(self, *, timeout: Optional[float] = None) -> int:
        """Takes one from the count, unless it is zero. Returns what is left."""
        while True:
            kv = self._present((await self._client.get(self._key, timeout=timeout)).kv)
            left = to_number(kv) - 1
            if left < 0:
                return 0
            unchanged = [ops.compare(self._key, "mod_revision", "=", kv.mod_revision)]
            done = await self._client.txn(
                unchanged, [ops.put(self._key, str(left))], timeout=timeout
            )
            if done.succeeded:
                return left

    def _present(self, kv: Optional[KeyValue]) -> KeyValue:
        if kv is None:
            raise errors.InvalidError(f"there is no latch {self._key!r}: create it first")
        return kv

    async def wait(self, *, timeout: Optional[float] = None) -> None:
        """Waits until the count is zero. A latch that does not exist yet is waited for, too."""
        await bounded(self._client, self._wait(), timeout, f"the latch {self._key!r}")

    async def _wait(self) -> None:
        core = self._client._started()

        async def step() -> bool:
            found = await self._client.get(self._key)
            if found.kv is not None and to_number(found.kv) <= 0:
                return True
            await wait_for_event(core, self._key, found.revision, EventType.PUT)
            return False

        while not await persist(core, step):
            pass
