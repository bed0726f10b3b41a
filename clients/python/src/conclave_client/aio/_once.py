"""Once: a function that one session runs, and whose result all get (K17)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Awaitable, Callable, Optional

from .. import errors, ops
from .._keys import Data, to_bytes, to_name

if TYPE_CHECKING:
    from ._session import Session


@dataclass(frozen=True)
class OnceResult:
    """The result, and whether this call was the one that ran the function."""

    value: bytes
    ran: bool


async def once(
    session: Session, name: Data, work: Callable[[], Awaitable[Data]], timeout: Optional[float]
) -> OnceResult:
    """Runs `work` under a mutex if there is no result. If it raises, another one may run it."""
    done = to_name(name) + b"/done"
    client = session._client
    found = await client.get(done)
    if found.kv is not None:
        return OnceResult(found.kv.value, False)
    mutex = session.mutex(to_name(name) + b"/lock")
    await mutex.lock(timeout=timeout)
    try:
        found = await client.get(done)
        if found.kv is not None:
            return OnceResult(found.kv.value, False)
        value = to_bytes(await work(), "the result")
        guard = [ops.owner(mutex.key, mutex.token)]
        if not (await client.txn(guard, [ops.put(done, value)])).succeeded:
            raise errors.SessionLostError("the lock was lost before the result was written")
        return OnceResult(value, True)
    finally:
        if mutex.held:
            await mutex.unlock()
