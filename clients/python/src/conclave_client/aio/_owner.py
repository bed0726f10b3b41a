"""The base of the owners' handles."""

from __future__ import annotations

from typing import Optional

from .. import errors
from .._feed import Feed
from .._listeners import Callback, Listener
from ._place import OwnerEvent, Place


class Owner:
    """A handle that is held or not, with a fencing token while it is."""

    def __init__(self, place: Place) -> None:
        self._place = place
        # How often this handle has been acquired.
        self._count = 0
        # The token of that ownership.
        self._counted = 0

    @property
    def held(self) -> bool:
        """True while it is held, by the clock (S3). For any thread."""
        # After a loss, another handle of the session may have become the owner again.
        place = self._place
        return self._count > 0 and self._counted == place.token and place.is_held

    @property
    def token(self) -> int:
        """The fencing token (K1): a number that grows with every owner.

        It is that of the last time at which this handle was held, or 0.
        """
        return self._counted

    @property
    def key(self) -> bytes:
        """The owner's key, for comparisons in transactions; see `conclave_client.ops.owner`."""
        return self._place.key

    def events(self) -> Feed[OwnerEvent]:
        """Returns an iterator over what happens to the owner from now on."""
        feed = self._place.listeners.feed()
        self._place.listen()
        return feed

    def on_event(self, callback: Callback[OwnerEvent]) -> Listener[OwnerEvent]:
        """Calls a function with what happens to the owner from now on.

        A plain function is called on a thread of its own, a coroutine function in the event loop.
        """
        listener = self._place.listeners.listen(callback)
        self._place.listen()
        return listener

    async def wait_lost(self, *, timeout: Optional[float] = None) -> None:
        """Waits until it is not held any more. Raises `DeadlineError` if it is held still."""
        await self._place.wait_lost(timeout)

    async def _acquire(self, value: bytes, timeout: Optional[float], wait: bool) -> bool:
        acquired = await self._place.acquire(value, timeout=timeout, wait=wait)
        if acquired:
            # Those of a former ownership, which was lost, do not count.
            self._count = self._count + 1 if self._counted == self._place.token else 1
            self._counted = self._place.token
        return acquired

    async def _give_back(self, timeout: Optional[float]) -> None:
        self._place.session._check()
        if self._count == 0:
            raise errors.InvalidError(f"{self.key!r} is not held by this handle")
        self._count -= 1
        # Another handle of the session may have become the owner since.
        if not self._place.owned or self._counted != self._place.token:
            raise errors.SessionLostError(f"{self.key!r} was deleted by someone else")
        await self._place.give_back(timeout)
