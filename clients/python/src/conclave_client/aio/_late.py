"""Copies of a put that are executed late (R8).

The put of a session's key is sent again if an attempt hangs in a connection. That attempt may be
executed when the key has been deleted: then the key exists again, and no handle knows of it. No
comparison prevents it, because the store keeps nothing of a deleted key. But it can be seen: after
such a put the key is watched until the session ends, and deleted if no handle holds it.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Awaitable, Callable, Optional

from .. import errors, ops
from ..types import EventType, KeyValue
from ._steps import is_ours, persist, repeatable_txn

if TYPE_CHECKING:
    from ._session import Session


def delete_copies(
    session: Session,
    key: bytes,
    is_copy: Callable[[KeyValue], bool],
    lock: asyncio.Lock,
    is_over: Optional[Callable[[], Awaitable[bool]]] = None,
) -> asyncio.Task[None]:
    """Deletes late copies of a put, from now until the session ends.

    `is_copy` is asked about keys with the session's lease. `lock` is held from then until the copy
    is deleted, so that no contender takes it for its own in the meantime. `is_over` is asked at the
    beginning and when the key was deleted, whether there cannot be copies any more.
    """
    work = _until_end(session, key, is_copy, lock, is_over)
    return session._core.spawn(work, f"delete late copies of {key!r}")


async def _until_end(
    session: Session,
    key: bytes,
    is_copy: Callable[[KeyValue], bool],
    lock: asyncio.Lock,
    is_over: Optional[Callable[[], Awaitable[bool]]],
) -> None:
    client, core = session._client, session._core

    async def look_at(kv: KeyValue) -> None:
        # The key of a deletion has no lease.
        if kv.lease != session.lease:
            return
        async with lock:
            if is_copy(kv):
                # A contender may find it, and put it again, while an attempt is on its way.
                guards = is_ours(session, key, kv.create_revision, kv.mod_revision)
                await persist(core, lambda: repeatable_txn(core, guards, [ops.delete(key)]))

    async def follow() -> bool:
        """Follows the key. Returns true if there cannot be copies any more."""
        found = await client.get(key)
        if found.kv is not None:
            await look_at(found.kv)
        if is_over is not None and await is_over():
            return True
        with contextlib.suppress(errors.CompactedError):
            async with client.watch(key, revision=found.revision + 1) as watch:
                async for batch in watch:
                    for event in batch.events:
                        await look_at(event.kv)
                    last = batch.events[-1].type
                    if is_over is not None and last is EventType.DELETE and await is_over():
                        return True
        return False

    async def follow_always() -> None:
        while not await persist(core, follow):
            pass

    # The end of the session, with which its keys go, or the user may no longer use the key.
    with contextlib.suppress(errors.ConclaveError):
        await session._while_alive(follow_always(), None, "deleting late copies")
