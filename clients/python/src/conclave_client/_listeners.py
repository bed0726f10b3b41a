"""Callbacks of users (R6).

A plain function runs on a thread of its own listener, so one that blocks delays nothing but its
own later calls. A coroutine function runs as a task of the event loop.
"""

from __future__ import annotations

import inspect
import queue
import threading
from typing import Any, Awaitable, Callable, Generic, TypeVar, Union

from ._background import Background, began, ended, logger
from ._feed import Feed

T = TypeVar("T")

Callback = Callable[[T], Union[Awaitable[None], None]]


class Listener(Generic[T]):
    """Calls one callback, with one value after the other. `close` ends it."""

    def __init__(self, callback: Callback[T], background: Background, what: str) -> None:
        self._callback = callback
        self._what = what
        self._background = background
        self._closed = False
        self._feed: Feed[T] | None = None
        self._queue: queue.SimpleQueue[Any] | None = None
        if inspect.iscoroutinefunction(callback):
            self._feed = Feed()
            background.spawn(self._run_task(callback, self._feed), what)

    @property
    def closed(self) -> bool:
        return self._closed

    def notify(self, value: T) -> None:
        """Passes a value on, without waiting for the callback."""
        if self._closed:
            return
        if self._feed is not None:
            self._feed.push(value)
            return
        if self._queue is None:
            self._queue = queue.SimpleQueue()
            thread = threading.Thread(
                target=self._run_thread,
                args=(self._queue,),
                name=f"conclave: {self._what}",
                daemon=True,
            )
            began(thread, f"thread: {self._what}")
            thread.start()
        self._queue.put(value)

    def close(self) -> None:
        """Ends the listener. Values that are waiting are still delivered."""
        if self._closed:
            return
        self._closed = True
        if self._feed is not None:
            self._feed.finish()
        if self._queue is not None:
            self._queue.put(_END)

    async def _run_task(self, callback: Callable[[T], Awaitable[None]], feed: Feed[T]) -> None:
        async for value in feed:
            try:
                await callback(value)
            except Exception:
                logger.exception("a callback failed: %s", self._what)

    def _run_thread(self, values: queue.SimpleQueue[Any]) -> None:
        try:
            while (value := values.get()) is not _END:
                try:
                    self._callback(value)
                except Exception:
                    logger.exception("a callback failed: %s", self._what)
        finally:
            ended(threading.current_thread())


_END = object()


class Listeners(Generic[T]):
    """All listeners of one source, callbacks and iterators alike."""

    def __init__(self, background: Background, what: str) -> None:
        self._background = background
        self._what = what
        self._listeners: list[Listener[T]] = []
        self._feeds: list[Feed[T]] = []

    def listen(self, callback: Callback[T]) -> Listener[T]:
        listener = Listener(callback, self._background, self._what)
        self._listeners.append(listener)
        return listener

    def feed(self) -> Feed[T]:
        feed: Feed[T] = Feed()
        self._feeds.append(feed)
        return feed

    @property
    def is_used(self) -> bool:
        """True if anyone listens."""
        self._feeds = [feed for feed in self._feeds if not feed.finished]
        self._listeners = [listener for listener in self._listeners if not listener.closed]
        return bool(self._feeds or self._listeners)

    def notify(self, value: T) -> None:
        self._feeds = [feed for feed in self._feeds if not feed.finished]
        for feed in self._feeds:
            feed.push(value)
        for listener in self._listeners:
            listener.notify(value)

    def close(self, error: Callable[[], Exception] | None = None) -> None:
        """Ends all of them, after what they have been notified of; iterators with the error."""
        for feed in self._feeds:
            feed.finish(error)
        for listener in self._listeners:
            listener.close()
