"""The event loop behind the synchronous client.

All synchronous clients of a process share one thread with one loop, which ends with the last of
them. Its work is the library's own, which does not block, so a lease is renewed whatever the user's
threads do.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextlib
import functools
import os
import threading
from typing import Any, Awaitable, Callable, Generic, Iterator, TypeVar

from . import errors
from ._background import began, ended, shielded

T = TypeVar("T")

_FORKED = (
    "the client was made before this process was forked, and its connections belong to the parent; "
    "make a client in the child"
)


class Portal:
    """A way from any thread into the loop."""

    _shared: Portal | None = None
    _lock = threading.Lock()

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._users = 0
        self._ended = False
        # Held while a call is passed to the loop, so that none comes after its end.
        self._submit = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._serve, name="conclave: event loop", daemon=True
        )
        began(self._thread, "thread: event loop")
        self._thread.start()

    @classmethod
    def acquire(cls) -> Portal:
        """Returns the process' portal, for one more client."""
        with cls._lock:
            if cls._shared is None or cls._shared._pid != os.getpid():
                cls._shared = Portal()
            cls._shared._users += 1
            return cls._shared

    def release(self) -> None:
        """One client less. The last one ends the thread."""
        with Portal._lock:
            self._users -= 1
            if self._users > 0 or self._pid != os.getpid():
                return
            if Portal._shared is self:
                Portal._shared = None
        self._end()

    def _end(self) -> None:
        with self._submit:
            if self._ended:
                return
            self._ended = True
            self._loop.call_soon_threadsafe(self._loop.stop)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.set_exception_handler(_report)
        try:
            self._loop.run_forever()
            # Calls that came just before the end fail; nothing else is left.
            tasks = asyncio.all_tasks(self._loop)
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        finally:
            self._loop.close()
            ended(self._thread)

    def check(self) -> None:
        """Raises if this is another process than that of the loop."""
        if self._pid != os.getpid():
            raise errors.ClosedError(_FORKED)

    def run(
        self, work: Callable[[], Awaitable[T]], give_back: Callable[[T], None] | None = None
    ) -> T:
        """Runs `work` in the loop and waits for it. An interrupt or a `CancelScope` cancels it.

        A result that an interrupt keeps from the caller goes to `give_back`, in the loop.
        """
        self.check()
        if threading.current_thread() is self._thread:
            raise errors.InvalidError("a coroutine cannot use the synchronous client")
        with self._submit:
            if self._ended:
                raise errors.ClosedError("the client is closed")
            running: _Running[T] = _Running(work, self._loop)
        try:
            with _in_scopes(running):
                return running.result()
        except errors.ConclaveError:
            raise
        except BaseException:
            # An interrupt of the waiting thread, which may have come after the result.
            running.abandon(give_back)
            raise

    def call(self, work: Callable[[], T]) -> T:
        """Runs a plain function in the loop and waits for it."""

        async def wrapped() -> T:
            return work()

        return self.run(wrapped)

    def in_thread(self, work: Callable[..., T]) -> Callable[..., Awaitable[T]]:
        """Makes a coroutine function that runs a user's function on a thread of its own.

        A thread cannot be cancelled, so a cancellation takes effect when the function returns.
        """

        async def run(*args: Any) -> T:
            loop = asyncio.get_running_loop()
            done: asyncio.Future[T] = loop.create_future()

            def target() -> None:
                finish: Callable[[], None]
                try:
                    finish = functools.partial(done.set_result, work(*args))
                except BaseException as error:
                    finish = functools.partial(done.set_exception, error)
                ended(thread)
                loop.call_soon_threadsafe(finish)

            thread = threading.Thread(target=target, name="conclave: work", daemon=True)
            began(thread, "thread: work of the user")
            thread.start()
            return await shielded(done)

        return run


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Reports what failed in the loop, without the noise of grpc.aio.

    Its loops share one queue: each may be woken for an event of another, or find that one closed.
    """
    error = context.get("exception")
    is_noise = isinstance(error, (BlockingIOError, RuntimeError))
    if not (is_noise and "PollerCompletionQueue" in str(context.get("handle"))):
        loop.default_exception_handler(context)


class _Running(Generic[T]):
    """One call in the loop."""

    def __init__(self, work: Callable[[], Awaitable[T]], loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._task: asyncio.Task[Any] | None = None
        self._cancelled = False
        self._maybe = False
        self._future = asyncio.run_coroutine_threadsafe(self._main(work), loop)

    async def _main(self, work: Callable[[], Awaitable[T]]) -> T:
        self._task = asyncio.current_task()
        if self._cancelled:
            raise asyncio.CancelledError
        try:
            return await work()
        except asyncio.CancelledError as error:
            self._maybe = getattr(error, "maybe", False)
            raise

    def cancel(self) -> None:
        """Cancels the call, which ends when it has freed what it held."""
        self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        self._cancelled = True
        if self._task is not None:
            self._task.cancel()

    def abandon(self, give_back: Callable[[T], None] | None) -> None:
        """Cancels the call, or gives its result back, since no one takes it."""

        def abandon() -> None:
            self._cancel()
            task = self._task
            if (
                give_back is not None
                and task is not None
                and task.done()
                and not task.cancelled()
                and task.exception() is None
            ):
                give_back(task.result())

        # The loop is closed if the last client is.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(abandon)

    def result(self) -> T:
        try:
            return self._future.result()
        except concurrent.futures.CancelledError:
            raise errors.CancelledError("the call was cancelled", maybe=self._maybe) from None


class CancelScope:
    """Cancels calls of the synchronous client from another thread.

        scope = CancelScope()
        with scope:
            mutex.lock()

    `scope.cancel()` on another thread makes the call, and later ones in the block, fail with
    `CancelledError`, after what the call held is freed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cancelled = False
        self._running: set[_Running[Any]] = set()

    def cancel(self) -> None:
        """Cancels all calls in the scope. For any thread; can be called twice."""
        with self._lock:
            self._cancelled = True
            for running in self._running:
                running.cancel()

    def _add(self, running: _Running[Any]) -> None:
        with self._lock:
            self._running.add(running)
            if self._cancelled:
                running.cancel()

    def _remove(self, running: _Running[Any]) -> None:
        with self._lock:
            self._running.discard(running)

    def __enter__(self) -> CancelScope:
        _scopes.stack.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        _scopes.stack.remove(self)


class _Scopes(threading.local):
    """The scopes that the present thread is in."""

    def __init__(self) -> None:
        self.stack: list[CancelScope] = []


_scopes = _Scopes()


@contextlib.contextmanager
def _in_scopes(running: _Running[Any]) -> Iterator[None]:
    scopes = _scopes.stack
    for scope in scopes:
        scope._add(running)
    try:
        yield
    finally:
        for scope in scopes:
            scope._remove(running)


def _end_at_exit() -> None:
    portal = Portal._shared
    if portal is not None and portal._pid == os.getpid():
        portal._end()


def _after_fork() -> None:
    # The lock may have been held by a thread that the child does not have.
    Portal._lock = threading.Lock()


atexit.register(_end_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
