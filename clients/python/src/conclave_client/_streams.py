"""Streams of one watch or one session, on whatever endpoint is next."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any, AsyncIterator, Generic

import grpc
import grpc.aio

from . import errors
from ._background import began, ended, within
from ._calls import SILENCE
from ._connection import CONNECT_TIMEOUT, Connection, Metadata, Unreachable
from ._core import Core
from ._method import Method, Request, Response
from ._rotation import Endpoint


class StreamBroken(Exception):
    """The stream has ended; another one may go on."""


class StreamRefused(StreamBroken):
    """The stream's token was refused; another one begins with a login, if there is a user."""


class Stream(Generic[Request, Response]):
    """One stream in both directions."""

    def __init__(
        self, core: Core, endpoint: Endpoint, connection: Connection, call: Any, token: Metadata
    ) -> None:
        self.endpoint = endpoint
        self._core = core
        self._connection = connection
        self._call = call
        self._token = token

    async def write(self, request: Request) -> None:
        with self._errors():
            await self._call.write(request)

    async def read(self) -> Response:
        """Returns the next message. A reader that is cancelled ends the stream."""
        with self._errors():
            message = await self._call.read()
        if message is grpc.aio.EOF:
            with self._errors():
                # Raises if the status is an error.
                if await self._call.code() is not grpc.StatusCode.OK:
                    await self._call
            raise StreamBroken("the server ended the stream")
        # gRPC returns None if the deserializer fails.
        if message is None:
            raise StreamBroken(f"{self.endpoint.url}: the answer is not a message of the API")
        self._connection.heard = time.monotonic()
        response: Response = message
        return response

    async def read_first(self) -> Response:
        """Returns the first message, or leaves an endpoint that is silent (C2)."""
        reading = asyncio.ensure_future(self.read())
        began_at = time.monotonic()
        try:
            while not reading.done():
                left = max(began_at, self._connection.heard) + SILENCE - time.monotonic()
                if left <= 0:
                    self.endpoint.leave()
                    raise StreamBroken(f"{self.endpoint.url} is silent")
                await asyncio.wait({reading}, timeout=left)
            return reading.result()
        finally:
            reading.cancel()

    def refused(self, text: str) -> Exception:
        """Makes the error of a stream whose token was refused."""
        if self._core.login.forget(self._token):
            return StreamRefused(text)
        return errors.from_status(grpc.StatusCode.UNAUTHENTICATED, text, write=False)

    @contextlib.contextmanager
    def _errors(self) -> Any:
        try:
            yield
        except grpc.aio.AioRpcError as error:
            raise self._error(error.code(), error.details() or "") from None
        except (asyncio.InvalidStateError, grpc.aio.UsageError) as error:
            raise StreamBroken(f"the stream has ended: {error}") from None

    def _error(self, code: grpc.StatusCode, details: str) -> Exception:
        details = errors.bare_text(details)
        if details in errors.REFUSED_TOKEN:
            return self.refused(details)
        row = errors.table_row(details)
        may_resume = code in errors.NO_ANSWER if row is None else row.retry or row.maybe
        if may_resume:
            return StreamBroken(details)
        return errors.from_status(code, details, write=False)


@contextlib.asynccontextmanager
async def open_stream(
    core: Core,
    method: Method[Request, Response],
    endpoint: Endpoint,
    metadata: Metadata,
    patience: float = CONNECT_TIMEOUT,
) -> AsyncIterator[Stream[Request, Response]]:
    """Opens a stream. Raises `StreamBroken` if there is no connection within `patience` seconds."""
    try:
        connection = await within(endpoint.connection(), patience)
    except Unreachable as error:
        raise StreamBroken(str(error)) from None
    except asyncio.TimeoutError:
        raise StreamBroken(f"{endpoint.url}: no connection yet") from None
    try:
        token = await core.token(time.monotonic() + 2 * CONNECT_TIMEOUT)
    except errors.ConclaveError as error:
        if not error.retry:
            raise
        raise StreamBroken(str(error)) from None
    with contextlib.ExitStack() as used:
        try:
            used.enter_context(connection.use())
        except Unreachable as error:
            raise StreamBroken(str(error)) from None
        call = connection.stream(method, [*token, *metadata])
        began(call, f"stream: {method.path} of {endpoint.url}")
        try:
            yield Stream(core, endpoint, connection, call, token)
        finally:
            call.cancel()
            ended(call)
