"""Barrier: a key that holds all that wait for its end (K7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from .. import ops
from .._keys import Data, to_name
from ..types import EventType
from ._steps import bounded, persist, wait_for_event

if TYPE_CHECKING:
    from ._client import Client


class Barrier:
    """A barrier, which holds while its key exists, whoever has created it."""

    def __init__(self, client: Client, name: Data) -> None:
        self._client = client
        self._key = to_name(name)

    async def hold(self, *, timeout: Optional[float] = None) -> None:
        """Raises the barrier, if it is not up already.

        If the answer is lost, `MaybeHappenedError` is raised. It is not sent again, because the
        first attempt could then be executed after a release.
        """
        absent = [ops.compare(self._key, "create_revision", "=", 0)]
        await self._client.txn(absent, [ops.put(self._key, "")], timeout=timeout)

    async def release(self, *, timeout: Optional[float] = None) -> None:
        """Lets all go on that wait. If the answer is lost, `MaybeHappenedError` is raised."""
        await self._client.delete(self._key, timeout=timeout)

    async def wait(self, *, timeout: Optional[float] = None) -> None:
        """Waits until the barrier does not hold."""
        await bounded(self._client, self._wait(), timeout, f"the barrier {self._key!r}")

    async def _wait(self) -> None:
        core = self._client._started()

        async def step() -> bool:
            found = await self._client.get(self._key)
            if found.kv is None:
                return True
            await wait_for_event(core, self._key, found.revision, EventType.DELETE)
            return False

        while not await persist(core, step):
            pass
