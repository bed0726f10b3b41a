"""Unary calls: attempts on one endpoint after the other, until the deadline (R1 to R3).

A read goes on to the next endpoint when its endpoint is silent, and takes whichever answer comes
first. A write has one attempt at a time, and a further one only if those before are known not to
have been executed. A write with a `Fate` is sent again like a read.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import grpc
import grpc.aio

from . import errors
from ._background import End, cancel_and_wait
from ._connection import Connection, Metadata, Undecodable, Unreachable, was_not_sent
from ._method import Method, Request, Response
from ._pause import Backoff
from ._rotation import Endpoint, Rotation

# A call that is unanswered for this long, with nothing else from its endpoint, makes it silent.
SILENCE = 2.0


class RefusedToken(Exception):
    """The server refused the call's token, so the call was not executed."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        super().__init__()
        self.error = error


class Fate:
    """Lets a write be sent again although an attempt may have been executed (R8).

    The caller sees to it that a copy that is executed late does no harm.
    """

    def __init__(self) -> None:
        # True if an attempt may be executed later than the one that was answered.
        self.unsettled = False
        # True while an attempt is on its way, besides the unsettled ones.
        self.in_flight = False

    @property
    def maybe(self) -> bool:
        """True if an attempt without an answer may have been executed."""
        return self.unsettled or self.in_flight


class Attempts:
    """All attempts of one call."""

    def __init__(
        self,
        rotation: Rotation,
        closed: End,
        method: Method[Any, Any],
        request: Any,
        metadata: Metadata,
        *,
        write: bool,
        deadline: float,
        timeout: float,
        fate: Fate | None = None,
    ) -> None:
        self._rotation = rotation
        self._closed = closed
        self._method = method
        self._request = request
        self._metadata = metadata
        self._write = write
        self._may_repeat = not write or fate is not None
        self._fate = Fate() if fate is None else fate
        self._deadline = deadline
        self._silence = min(SILENCE, timeout / 2)
        self._running: dict[asyncio.Task[Any], Endpoint] = {}
        # Of those, the ones that were sent, with the connection and the time.
        self._sent: dict[asyncio.Task[Any], tuple[Connection, float]] = {}
        # Of those, the ones whose endpoints were silent.
        self._silent: set[asyncio.Task[Any]] = set()
        # Endpoints of the present round.
        self._tried: set[Endpoint] = set()
        # Why the last attempt that has ended was not sent, or could not be executed.
        self._last = ""
        self._loop = asyncio.get_running_loop()
        # Set to wake `_sleep`.
        self._woken: asyncio.Future[None] | None = None

    async def run(self) -> Any:
        """Returns the response, or raises an error of this package or `RefusedToken`."""
        try:
            try:
                return await self._until_result()
            finally:
                self._fate.unsettled |= self._fate.in_flight
                self._fate.in_flight = False
                for task in list(self._running):
                    await cancel_and_wait(task)
        except asyncio.CancelledError as error:
            # For those who catch it: whether a write may have happened (R4).
            error.maybe = self._maybe  # type: ignore[attr-defined]
            raise

    @property
    def _maybe(self) -> bool:
        return self._write and self._fate.maybe

    async def _until_result(self) -> Any:
        backoff = Backoff()
        while True:
            endpoint = self._rotation.next(self._tried | self._busy())
            if endpoint is not None:
                self._tried.add(endpoint)
                done = await self._try(endpoint)
            elif self._running.keys() - (self._silent if self._may_repeat else ()):
                done = await self._wait()
            else:
                self._tried.clear()
                done = await self._wait(backoff.next())
            for task in done:
                self._running.pop(task, None)
                self._silent.discard(task)
                if self._ends(task):
                    return task.result()

    def _busy(self) -> set[Endpoint]:
        """Returns the endpoints whose attempts may still be answered.

        Not on a connection that was given up: then there is another one, or soon will be.
        """
        return {
            endpoint
            for task, endpoint in self._running.items()
            if task not in self._sent or not self._sent[task][0].retired
        }

    async def _try(self, endpoint: Endpoint) -> set[asyncio.Task[Any]]:
        """Begins an attempt and waits until another one may begin, or any has ended."""
        task = self._loop.create_task(self._attempt(endpoint))
        self._running[task] = endpoint
        task.add_done_callback(self._wake)
        return await self._wait()

    async def _wait(self, pause: float | None = None) -> set[asyncio.Task[Any]]:
        """Waits for the end of an attempt or a pause, for a read's silence, or fails."""
        until = self._deadline
        if pause is not None:
            until = min(until, time.monotonic() + pause)
        self._closed.callbacks.add(self._wake)
        try:
            while True:
                now = time.monotonic()
                done = {task for task in self._running if task.done()}
                if self._closed.is_set:
                    raise errors.ClosedError("the client is closed", maybe=self._maybe)
                if now >= self._deadline and not done:
                    raise self._too_late()
                if done or now >= until or (self._leave_silent(now) and self._may_repeat):
                    return done
                await self._sleep(min(until, self._silent_at(now)) - now)
        finally:
            self._closed.callbacks.discard(self._wake)

    async def _sleep(self, seconds: float) -> None:
        """Sleeps until `_wake`. Every call does: `asyncio.wait` would take twice the time."""
        self._woken = self._loop.create_future()
        timer = self._loop.call_later(seconds, self._wake)
        try:
            await self._woken
        finally:
            timer.cancel()

    def _wake(self, *_: object) -> None:
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)

    def _silent_at(self, now: float) -> float:
        """Returns when the next endpoint will be silent, at the earliest."""
        # An attempt that is sent after now will be silent later than this.
        at = now + self._silence
        for task, (connection, began) in self._sent.items():
            if task not in self._silent:
                at = min(at, max(began, connection.heard) + self._silence)
        return at

    def _leave_silent(self, now: float) -> bool:
        """Leaves endpoints that are silent. Returns true if there was one."""
        silent = [
            task
            for task, (connection, began) in self._sent.items()
            if task not in self._silent and now >= max(began, connection.heard) + self._silence
        ]
        for task in silent:
            self._silent.add(task)
            # Another connection may have taken the place of this one.
            if not self._sent[task][0].retired:
                self._running[task].leave()
        return bool(silent)

    def _too_late(self) -> errors.ConclaveError:
        if self._sent or self._maybe:
            return errors.time_was_up(write=self._write)
        last = self._last or ", ".join(
            f"{endpoint.url}: no connection yet" for endpoint in self._running.values()
        )
        return errors.UnavailableError(
            "no endpoint was ready before the deadline; the last problem: "
            + (last or "no endpoint was tried")
        )

    async def _attempt(self, endpoint: Endpoint) -> Any:
        connection = await endpoint.connection()
        now = time.monotonic()
        left = self._deadline - now
        if left <= 0:
            raise Unreachable(f"{endpoint.url}: connected too late")
        with connection.use():
            task: Any = asyncio.current_task()
            self._fate.in_flight = True
            self._sent[task] = (connection, now)
            try:
                return await connection.unary(self._method, self._request, left, self._metadata)
            finally:
                del self._sent[task]

    def _ends(self, task: asyncio.Task[Any]) -> bool:
        """Returns true if the attempt has a result; raises its error if it is the call's."""
        error = task.exception()
        if error is None:
            self._settle(maybe=False)
            return True
        if isinstance(error, Unreachable):
            self._last = str(error)
            return False
        if isinstance(error, Undecodable):
            raise errors.from_status(grpc.StatusCode.INTERNAL, str(error), write=self._write)
        if not isinstance(error, grpc.aio.AioRpcError):
            raise error
        details = errors.bare_text(error.details() or "")
        if details in errors.REFUSED_TOKEN:
            self._settle(maybe=False)
            raise RefusedToken(error)
        failure = errors.from_status(error.code(), details, write=self._write)
        maybe = failure.maybe and not was_not_sent(error)
        self._settle(maybe=maybe)
        row = errors.table_row(details)
        can_help = error.code() is grpc.StatusCode.UNAVAILABLE if row is None else row.retry
        if can_help and (self._may_repeat or not maybe):
            self._last = details
            return False
        raise errors.after(failure, maybe=self._maybe)

    def _settle(self, *, maybe: bool) -> None:
        """An attempt that was sent has ended. It may have been executed if `maybe`."""
        self._fate.unsettled |= maybe
        # Another one that runs has been sent, or soon will be.
        self._fate.in_flight = bool(self._running)


async def call(
    rotation: Rotation,
    closed: End,
    method: Method[Request, Response],
    request: Request,
    metadata: Metadata,
    *,
    write: bool,
    deadline: float,
    timeout: float,
    fate: Fate | None = None,
) -> Response:
    """Sends a call until it has a result; see `Attempts`."""
    attempts = Attempts(
        rotation,
        closed,
        method,
        request,
        metadata,
        write=write,
        deadline=deadline,
        timeout=timeout,
        fate=fate,
    )
    response: Response = await attempts.run()
    return response
