"""Read-write lock: many readers, or one writer (K4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from .. import errors
from .._keys import Data, to_name
from ._mutex import Lock
from ._rwplace import WritePlace, places_of

if TYPE_CHECKING:
    from ._session import Session


class WriteLock(Lock):
    """The writer's side. A reader waits for the last writer before it, a writer for all."""

    def __init__(self, place: WritePlace, read: Lock) -> None:
        super().__init__(place)
        self._read = read

    async def _acquire(self, value: bytes, timeout: Optional[float], wait: bool) -> bool:
        # Two readers that wait for each other's end would wait for ever.
        if self._read._place.owned and not self._place.owned:
            raise errors.InvalidError("a reader cannot become a writer: unlock the read lock first")
        return await super()._acquire(value, timeout, wait)


class RwLock:
    """The two sides of a read-write lock, for one session: `async with rwlock.read`.

    A writer may take the read lock, too, and then unlock the write lock (downgrade): it reads on
    while other readers come in, and no writer does.
    """

    def __init__(self, session: Session, name: Data) -> None:
        place = places_of(session, to_name(name))
        self._read = Lock(place)
        self._write = WriteLock(place.writer, self._read)

    @property
    def read(self) -> Lock:
        """The readers' side."""
        return self._read

    @property
    def write(self) -> WriteLock:
        """The writers' side."""
        return self._write
