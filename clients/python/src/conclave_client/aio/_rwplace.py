"""The places of one session in a read-write lock (K4).

A writer may read, too, and unlock the write lock while it reads (downgrade). For writers A and B:

    A's write key, B's write key, A's read key

B waits for A's write key only, since A's read key comes after its own. So A's write key stays until
A has read.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Optional

from .. import errors, ops
from .._background import cancel_and_wait
from ..types import ListResult
from ._place import Place

if TYPE_CHECKING:
    from ._session import Session


class ReadPlace(Place):
    """A contender that waits for the last writer before it."""

    def __init__(self, session: Session, name: bytes) -> None:
        key = name + b"/read/" + session.lease_hex.encode()
        super().__init__(session, "read lock", key, name + b"/write/")
        self.writer = WritePlace(session, name, self)

    async def give_back(self, timeout: Optional[float] = None) -> None:
        await super().give_back(timeout)
        if not self.owned:
            # The write key that has stayed for the reader.
            error = await self.writer._left(
                self.session._core.timeout if timeout is None else timeout
            )
            if error is not None:
                raise error

    async def _is_admitted(self, wait: bool) -> bool:
        # While its session writes, no other one does. The own key is there before the writer's is
        # read, so one of the two is in the way of each other writer from now on.
        return self.writer.is_held and await self.writer._is_mine(wait)

    async def _deleted(self, key: bytes, after: int) -> None:
        """Waits until the key before this one is deleted, or the session has become the writer."""
        if self.writer.is_held:
            return
        deleted = asyncio.ensure_future(super()._deleted(key, after))
        writes = asyncio.ensure_future(self.writer._began.wait())
        try:
            await asyncio.wait({deleted, writes}, return_when=asyncio.FIRST_COMPLETED)
            if deleted.done():
                deleted.result()
        finally:
            await cancel_and_wait(writes)
            await cancel_and_wait(deleted)


class WritePlace(Place):
    """A contender that waits for all before it."""

    def __init__(self, session: Session, name: bytes, reader: ReadPlace) -> None:
        self._writers = name + b"/write/"
        key = self._writers + session.lease_hex.encode()
        super().__init__(session, "write lock", key, name + b"/")
        self._reader = reader

    async def _before_deletion(self) -> None:
        reader, token = self._reader, self._reader.token
        if not reader.is_held or not await self._is_followed(token):
            return
        if reader.is_held and reader.token == token:
            # The write lock is unlocked now.
            self._settle(None)
            await reader._ended.wait()
            # The reader's unlock waits for the deletion that follows.
            self._outcome = self._new_outcome()

    async def _is_followed(self, reader: int) -> bool:
        """Returns true if a writer has come after this one and before the reader."""
        op = ops.get(self._writers, prefix=True)
        op.request_range.min_create_revision = self.token + 1
        op.request_range.max_create_revision = reader - 1
        op.request_range.keys_only = True
        op.request_range.limit = 1
        found: list[bool] = []

        async def look() -> None:
            (writers,) = (await self.session._client.txn([], [op])).results
            assert isinstance(writers, ListResult)
            found[:] = [bool(writers.kvs)]

        try:
            await self.session._persist(look)
        except errors.ConclaveError:
            # If it is not known, it may be so.
            return True
        return found[0]


def places_of(session: Session, name: bytes) -> ReadPlace:
    """Returns the session's two places in a lock, which its handles share."""
    read = "read lock", name + b"/read/" + session.lease_hex.encode()
    reader = session._own_keys.get(read)
    if reader is None:
        reader = session._own_keys[read] = ReadPlace(session, name)
        session._own_keys["write lock", reader.writer.key] = reader.writer
    assert isinstance(reader, ReadPlace)
    return reader
