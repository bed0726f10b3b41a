"""STM: a function whose reads and writes take effect together, or are run again (K16)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Awaitable, Callable, Dict, Optional, TypeVar

from .. import errors, ops
from .._keys import Data, to_bytes, to_key
from .._pause import Backoff
from ..types import KeyValue

if TYPE_CHECKING:
    from ._client import Client

T = TypeVar("T")


class Transaction:
    """A transaction of `Client.stm`. All its reads are of one revision."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._reads: Dict[bytes, Optional[KeyValue]] = {}
        # None: delete.
        self._writes: Dict[bytes, Optional[bytes]] = {}
        self._revision = 0

    async def get(self, key: Data) -> Optional[bytes]:
        """Returns a key's value, as the transaction has written it, or None if there is none."""
        name = to_key(key)
        if name in self._writes:
            return self._writes[name]
        if name not in self._reads:
            found = await self._client.get(name, revision=self._revision)
            # The first read decides what the others see.
            self._revision = self._revision or found.revision
            self._reads[name] = found.kv
        kv = self._reads[name]
        return None if kv is None else kv.value

    def put(self, key: Data, value: Data) -> None:
        """Writes a key, when the transaction is committed."""
        self._writes[to_key(key)] = to_bytes(value)

    def delete(self, key: Data) -> None:
        """Deletes a key, when the transaction is committed."""
        self._writes[to_key(key)] = None

    async def _commit(self, timeout: Optional[float]) -> bool:
        unchanged = [
            ops.compare(key, "mod_revision", "=", 0 if kv is None else kv.mod_revision)
            for key, kv in self._reads.items()
        ]
        steps = [
            ops.delete(key) if value is None else ops.put(key, value)
            for key, value in self._writes.items()
        ]
        if not steps:
            # All reads are of one revision, so they were true together.
            return True
        return (await self._client.txn(unchanged, steps, timeout=timeout)).succeeded


async def run(
    client: Client, work: Callable[[Transaction], Awaitable[T]], timeout: Optional[float]
) -> T:
    """Runs `work` until what it has read is unchanged when its writes are committed."""
    backoff = Backoff(0.001, 0.1)
    while True:
        transaction = Transaction(client)
        try:
            result = await work(transaction)
            if await transaction._commit(timeout):
                return result
        except errors.ApiError as error:
            # History was compacted between two reads.
            if error.name != "Compacted":
                raise
        await client._started().pause(backoff.next())
