"""A queue with an end, between what the library learns and a user who iterates over it."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import Callable, Deque, Generic, TypeVar

T = TypeVar("T")


class Feed(Generic[T]):
    """An asynchronous iterator of items. Items before the end are delivered before it."""

    def __init__(self, limit: int = 0) -> None:
        self._items: Deque[T] = deque()
        self._limit = limit
        self._changed = asyncio.Event()
        self._space = asyncio.Event()
        self._finished = False
        self._error: Callable[[], Exception] | None = None

    def push(self, item: T) -> None:
        """Adds an item, whatever the limit."""
        if not self._finished:
            self._items.append(item)
            self._changed.set()

    async def put(self, item: T) -> None:
        """Adds an item when there is space for it."""
        while len(self._items) >= self._limit and not self._finished:
            self._space.clear()
            await self._space.wait()
        self.push(item)

    def finish(self, error: Callable[[], Exception] | None = None, *, drop: bool = False) -> None:
        """Ends the feed, with an error or without. The first end counts."""
        if drop:
            self._items.clear()
        if not self._finished:
            self._finished = True
            self._error = error
        self._changed.set()
        self._space.set()

    def fail(self, error: Exception) -> None:
        """Ends the feed with an error that has been caught."""
        self.finish(lambda: error)

    @property
    def finished(self) -> bool:
        return self._finished

    def __aiter__(self) -> Feed[T]:
        return self

    async def __anext__(self) -> T:
        return await self.take(None)

    async def take(self, timeout: float | None) -> T:
        """Returns the next item; raises `asyncio.TimeoutError` after `timeout` seconds without one.

        No await follows the removal of the item, so no cancellation can lose it.
        """
        loop = asyncio.get_running_loop()
        until = math.inf if timeout is None else loop.time() + timeout
        while not self._items:
            if self._finished:
                if self._error is not None:
                    raise self._error()
                raise StopAsyncIteration
            if loop.time() >= until:
                raise asyncio.TimeoutError
            self._changed.clear()
            timer = None if timeout is None else loop.call_at(until, self._changed.set)
            try:
                await self._changed.wait()
            finally:
                if timer is not None:
                    timer.cancel()
        self._space.set()
        return self._items.popleft()

    def give_back(self, item: T) -> None:
        """Puts an item that was taken and not delivered in front of the others."""
        self._items.appendleft(item)
        self._changed.set()
