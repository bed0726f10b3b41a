"""Tasks, threads and connections that the library has begun, to be ended and counted."""

from __future__ import annotations

import asyncio
import logging
import threading
import weakref
from typing import Any, Awaitable, Callable, Coroutine, TypeVar

T = TypeVar("T")

logger = logging.getLogger("conclave_client")

_lock = threading.Lock()
_live: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()


def began(resource: Any, what: str) -> None:
    """Counts a resource until `ended`."""
    with _lock:
        _live[resource] = what


def ended(resource: Any) -> None:
    with _lock:
        _live.pop(resource, None)


def leftovers() -> list[str]:
    """Returns what the library has begun and not ended. Empty if all clients are closed."""
    with _lock:
        return sorted(_live.values())


class Background:
    """The background tasks of one client."""

    def __init__(self, *expected: type[BaseException]) -> None:
        # Errors that callers wait for. Any other one ends a task by a fault, which is logged.
        self._expected = expected
        self._tasks: set[asyncio.Task[Any]] = set()
        # Of those, the ones that free something, and end by themselves.
        self._cleanups: set[asyncio.Task[Any]] = set()

    def spawn(
        self, work: Coroutine[Any, Any, T], what: str, *, cleanup: bool = False
    ) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work, name=f"conclave: {what}")
        self._tasks.add(task)
        if cleanup:
            self._cleanups.add(task)
        began(task, f"task: {what}")
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        self._cleanups.discard(task)
        ended(task)
        # Retrieved, so that asyncio does not report errors that have gone to a caller as well.
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, self._expected):
            logger.error("a background task failed: %s", task.get_name(), exc_info=error)

    async def close(self) -> None:
        """Cancels all tasks but cleanups, and waits for the ends of all."""
        while self._tasks:
            tasks = [task for task in self._tasks if task is not asyncio.current_task()]
            if not tasks:
                return
            for task in tasks:
                if task not in self._cleanups:
                    task.cancel()
            await asyncio.wait(tasks)


class End:
    """An end that may come: of a client, a session or a handle. Whatever waits for something else
    waits for the end, too, and fails with its error."""

    def __init__(self, error: Callable[[], Exception]) -> None:
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Called when the end comes. Callbacks of `future` would do, but removing one of those looks
        # at all others, and each call in flight has one.
        self.callbacks: set[Callable[[], None]] = set()
        # Made for each raise: one exception raised twice would collect tracebacks.
        self._error = error

    @property
    def is_set(self) -> bool:
        return self.future.done()

    def set(self) -> None:
        if not self.future.done():
            self.future.set_result(None)
            for callback in list(self.callbacks):
                callback()

    def check(self) -> None:
        """Raises the error if the end has come."""
        if self.future.done():
            raise self._error()


async def until_first(
    work: Coroutine[Any, Any, T],
    timeout: float | None,
    on_timeout: Callable[[], BaseException],
    *ends: End,
) -> T:
    """Runs `work` until it ends, the time is up, or one of `ends` comes, whose error is raised.

    `work` has been cancelled and has ended when this returns or raises.
    """
    task = asyncio.ensure_future(work)
    try:
        waiting: set[asyncio.Future[Any]] = {task, *(end.future for end in ends)}
        await asyncio.wait(waiting, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        # An end that comes with the result is more important: the result depends on it.
        for end in ends:
            end.check()
        if task.done():
            return task.result()
        raise on_timeout()
    finally:
        await cancel_and_wait(task)


async def within(work: Awaitable[T], timeout: float) -> T:
    """Waits for at most `timeout` seconds, else raises `asyncio.TimeoutError`.

    `asyncio.wait_for` drops a cancellation that comes together with the result, until Python 3.12.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=timeout)
        if not task.done():
            raise asyncio.TimeoutError
        return task.result()
    finally:
        await cancel_and_wait(task)


async def cancel_and_wait(task: asyncio.Future[Any]) -> None:
    """Cancels a task and waits for its end; its errors are dropped."""
    task.cancel()
    await _wait_for_end(task)
    if not task.cancelled():
        task.exception()


async def shielded(work: Awaitable[T]) -> T:
    """Waits for work that goes on to its end although the caller is cancelled."""
    task = asyncio.ensure_future(work)
    await _wait_for_end(task)
    return task.result()


async def _wait_for_end(task: asyncio.Future[Any]) -> None:
    """Waits for the end of a task; a cancellation of the caller takes effect after it."""
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError
