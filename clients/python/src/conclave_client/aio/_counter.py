"""Counter: a number that many change (K11)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Optional

from .. import errors, ops
from .._keys import Data, to_name
from ..types import KeyValue

if TYPE_CHECKING:
    from ._client import Client

_MIN = -(1 << 63)
_MAX = (1 << 63) - 1

# Not more than `int` accepts, which also reads spaces and underscores.
_DECIMAL = re.compile(rb"[+-]?[0-9]{1,4000}")


class Counter:
    """A counter of 64 bits with a sign. It is 0 if it does not exist."""

    def __init__(self, client: Client, name: Data) -> None:
        self._client = client
        self._key = to_name(name)

    async def get(self, *, timeout: Optional[float] = None) -> int:
        """Returns the number."""
        found = await self._client.get(self._key, timeout=timeout)
        return 0 if found.kv is None else to_number(found.kv)

    async def add(self, delta: int, *, timeout: Optional[float] = None) -> int:
        """Adds a number, which may be negative. Returns the sum."""
        check_number(delta)
        while True:
            kv = (await self._client.get(self._key, timeout=timeout)).kv
            total = check_number((0 if kv is None else to_number(kv)) + delta)
            if await self._replace(kv, total, timeout):
                return total

    async def compare_and_set(
        self, expected: int, number: int, *, timeout: Optional[float] = None
    ) -> bool:
        """Sets the number if it is as expected. Returns whether it was."""
        check_number(number)
        while True:
            kv = (await self._client.get(self._key, timeout=timeout)).kv
            if (0 if kv is None else to_number(kv)) != expected:
                return False
            if await self._replace(kv, number, timeout):
                return True

    async def _replace(self, kv: Optional[KeyValue], number: int, timeout: Optional[float]) -> bool:
        revision = 0 if kv is None else kv.mod_revision
        unchanged = [ops.compare(self._key, "mod_revision", "=", revision)]
        done = await self._client.txn(unchanged, [ops.put(self._key, str(number))], timeout=timeout)
        return done.succeeded


def to_number(kv: KeyValue) -> int:
    """Reads a number from a key's value."""
    number = int(kv.value) if _DECIMAL.fullmatch(kv.value) else None
    if number is None or not _MIN <= number <= _MAX:
        raise errors.InvalidError(
            f"the value of {kv.key!r} is not a decimal number of 64 bits: {kv.value[:40]!r}"
        )
    return number


def check_number(number: int) -> int:
    if isinstance(number, bool) or not isinstance(number, int):
        raise errors.InvalidError(f"a counter has whole numbers, not {number!r}")
    if not _MIN <= number <= _MAX:
        raise errors.InvalidError(f"{number} does not fit in 64 bits")
    return number
