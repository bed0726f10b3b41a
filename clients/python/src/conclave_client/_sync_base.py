"""What the classes of the synchronous client have in common."""

from __future__ import annotations

import asyncio
from typing import Any, Generic, Optional, Set, Type, TypeVar

from . import _feed, errors
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
        # Watches and observers have a feed, others are one.
        aio = self._aio
        items: _feed.Feed[T] = aio if isinstance(aio, _feed.Feed) else aio._feed
        try:
            return self._portal.run(lambda: items.take(timeout), items.give_back)
        except StopAsyncIteration:
            raise StopIteration from None
        except errors.ConclaveError:
            raise
        except asyncio.TimeoutError:
            raise errors.DeadlineError("no item came in this time") from None


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


_closing: Set[asyncio.Task[Any]] = set()


def close_lost(handle: Any) -> None:
    """Closes a handle that an interrupt has kept from the caller. In the loop."""
    task = asyncio.get_running_loop().create_task(handle.close())
    # The loop has no strong reference to it.
    _closing.add(task)
    task.add_done_callback(_closing.discard)
