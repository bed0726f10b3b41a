"""Value: one key that many read and replace (K12)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

from .. import ops
from .._keys import Data, to_int, to_name
from ._opening import Opening
from ._watch import Watch

if TYPE_CHECKING:
    from ._client import Client


@dataclass(frozen=True)
class Versioned:
    """A value and the revision at which it was set."""

    value: bytes
    revision: int


@dataclass(frozen=True)
class Swap:
    """The outcome of `compare_and_set`: whether the value was replaced, and the revision of that,
    or of the value that is there (0: none)."""

    swapped: bool
    revision: int


class Value:
    """A shared value."""

    def __init__(self, client: Client, name: Data) -> None:
        self._client = client
        self._key = to_name(name)

    async def get(self, *, timeout: Optional[float] = None) -> Optional[Versioned]:
        """Returns the value with its revision, or None if there is none."""
        kv = (await self._client.get(self._key, timeout=timeout)).kv
        return None if kv is None else Versioned(kv.value, kv.mod_revision)

    async def set(self, value: Data, *, timeout: Optional[float] = None) -> int:
        """Replaces the value, whatever it is. Returns the revision."""
        return (await self._client.put(self._key, value, timeout=timeout)).revision

    async def compare_and_set(
        self, revision: int, value: Data, *, timeout: Optional[float] = None
    ) -> Swap:
        """Replaces the value if its revision is this one; 0: if there is no value."""
        to_int(revision, "a revision", 0)
        done = await self._client.txn(
            [ops.compare(self._key, "mod_revision", "=", revision)],
            [ops.put(self._key, value)],
            [ops.get(self._key)],
            timeout=timeout,
        )
        if done.succeeded:
            return Swap(True, done.revision)
        kv = done.results[0].kv  # type: ignore[union-attr]
        return Swap(False, 0 if kv is None else kv.mod_revision)

    def listen(self, *, revision: int = 0) -> Opening[Watch]:
        """Watches the value from a revision on, for example the one after that of `get`."""
        return self._client.watch(self._key, revision=revision)
