"""What the classes of the synchronous client have in common."""

from __future__ import annotations

import asyncio
from typing import Any, AsyncIterator, Generic, Optional, Type, TypeVar

from . import errors
from ._background import cancel_and_wait
from ._core import check_timeout
from ._portal import Portal

A = TypeVar("A")
T = TypeVar("T")
W = TypeVar("W", bound="Wrapper[Any]")


class Wrapper(Generic[A]):
    """A handle whose work is done by its asyncio counterpart. For any thread."""

    _portal: Portal
    _aio: A

    @classmethod
    def _wrap(cls: Type[W], portal: Portal, inner: Any) -> W:
        wrapper = cls.__new__(cls)
        wrapper._portal = portal
        wrapper._aio = inner
        return wrapper

    @classmethod
    def _wrap_optional(cls: Type[W], portal: Portal, inner: Any) -> Optional[W]:
        return None if inner is None else cls._wrap(portal, inner)


class Iteration(Wrapper[Any], Generic[T]):
    """An iterator that waits for its items."""

    def __iter__(self) -> Iteration[T]:
        return self

    def __next__(self) -> T:
        return self._take(None)

    def next(self, *, timeout: Optional[float] = None) -> T:
        """Waits for the next item, at most `timeout` seconds (`DeadlineError`).

        Raises `StopIteration` at the end.
        """
        return self._take(None if timeout is None else check_timeout(timeout))

    def _take(self, timeout: Optional[float]) -> T:
        items: AsyncIterator[T] = self._aio

        async def take() -> T:
            if timeout is None:
                return await items.__anext__()
            taking = asyncio.ensure_future(items.__anext__())
            try:
                await asyncio.wait({taking}, timeout=timeout)
                if not taking.done():
                    raise errors.DeadlineError("no item came in this time")
                return taking.result()
            finally:
                await cancel_and_wait(taking)

        try:
            return self._portal.run(take)
        except StopAsyncIteration:
            raise StopIteration from None


class Feed(Iteration[T]):
    """An iterator over states or events. `close` ends it."""

    def close(self) -> None:
        """Ends the iteration."""
        self._portal.call(self._aio.finish)


class Listener(Wrapper[Any], Generic[T]):
    """A callback that is called until `close`."""

    def close(self) -> None:
        """Ends the callback. Values that are waiting are still delivered."""
        self._portal.call(self._aio.close)
