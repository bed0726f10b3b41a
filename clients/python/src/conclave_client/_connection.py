"""One connection to one server. It is made once; the next one is another object (C3, C5)."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any, Iterator, Sequence, Tuple

import grpc
import grpc.aio

from ._background import Background, began, ended, within
from ._method import Method, Request, Response
from ._targets import Target

# Time limit of a connection attempt and of a probe (C2).
CONNECT_TIMEOUT = 2.0

Metadata = Sequence[Tuple[str, str]]

_OPTIONS: list[tuple[str, Any]] = [
    # gRPC would share connections between channels with equal arguments.
    ("grpc.use_local_subchannel_pool", 1),
    # An attempt is not given up before our own limit, and none follows within it.
    ("grpc.min_reconnect_backoff_ms", 2 * int(CONNECT_TIMEOUT * 1000)),
    ("grpc.initial_reconnect_backoff_ms", 2 * int(CONNECT_TIMEOUT * 1000)),
    ("grpc.client_idle_timeout_ms", 2**31 - 1),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    # Without this, gRPC waits for a minute for the answer to a ping.
    ("grpc.http2.ping_timeout_ms", 3_000),
    # gRPC's other pings measure the bandwidth to size the window. This one is enough for a local
    # network, and no ping is sent that the server may count.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 1 << 20),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # Retries are ours, and an endpoint is where it says it is.
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.enable_http_proxy", 0),
]

# gRPC's text for a call that found no connection to be sent on.
_NOT_SENT = "failed to connect to all addresses"


class Unreachable(Exception):
    """No connection could be made, or the server does not answer on it. Nothing was sent."""


class Undecodable(Exception):
    """The server's answer is no message of the API. The call was sent."""


def was_not_sent(error: grpc.aio.AioRpcError) -> bool:
    """Returns true if the call is known not to have reached a server."""
    return error.code() is grpc.StatusCode.UNAVAILABLE and (error.details() or "").startswith(
        _NOT_SENT
    )


class Connection:
    """A channel that has been connected and is not connected again."""

    def __init__(self, target: Target, background: Background) -> None:
        options = list(_OPTIONS)
        if target.address.startswith("unix:"):
            options.append(("grpc.default_authority", "localhost"))
        if target.tls is None:
            self._channel = grpc.aio.insecure_channel(target.address, options)
        else:
            if target.tls.server_name is not None:
                options.append(("grpc.ssl_target_name_override", target.tls.server_name))
            self._channel = grpc.aio.secure_channel(
                target.address, target.tls.credentials(), options
            )
        self.url = target.url
        # When something last came from the server, by `time.monotonic`.
        self.heard = time.monotonic()
        self._background = background
        self._methods: dict[str, Any] = {}
        self._users = 0
        # Another connection has taken its place, or it broke.
        self.retired = False
        self._closing = False
        began(self, f"connection: {target.url}")

    @classmethod
    async def open(cls, target: Target, background: Background) -> Connection:
        """Connects, or raises `Unreachable` within the time limit."""
        connection = cls(target, background)
        try:
            await within(connection._until_ready(), CONNECT_TIMEOUT)
        except asyncio.TimeoutError:
            connection.retire()
            raise Unreachable(f"{target.url}: no connection within {CONNECT_TIMEOUT:g} s") from None
        except BaseException:
            connection.retire()
            raise
        connection.heard = time.monotonic()
        return connection

    @property
    def ready(self) -> bool:
        """True while there is a connection."""
        return not self._closing and self._channel.get_state() is grpc.ChannelConnectivity.READY

    async def _until_ready(self) -> None:
        state = self._channel.get_state(try_to_connect=True)
        while state is not grpc.ChannelConnectivity.READY:
            if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                raise Unreachable(f"{self.url}: {await self._reason()}")
            await self._channel.wait_for_state_change(state)
            state = self._channel.get_state()

    async def _reason(self) -> str:
        """Asks gRPC why there is no connection: only the error of a call says it."""
        try:
            await self._check(0.5)
        except grpc.aio.AioRpcError as error:
            return error.details() or "no connection"
        return "no connection"

    async def until_broken(self) -> None:
        """Returns when the connection is gone."""
        while self.ready:
            await self._channel.wait_for_state_change(grpc.ChannelConnectivity.READY)

    async def check(self) -> None:
        """Probes the server by a health check; raises `Unreachable` if there is no answer."""
        try:
            with self.use():
                await self._check(CONNECT_TIMEOUT)
        except grpc.aio.AioRpcError as error:
            # A server without this service is alive, too.
            if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
                raise Unreachable(f"{self.url}: {error.details()}") from None
        self.heard = time.monotonic()

    async def _check(self, timeout: float) -> None:
        # The empty request asks for the whole server. The message has one field, the status, which
        # does not matter: an answer is what the probe waits for. So stubs are not needed.
        check: Any = self._channel.unary_unary("/grpc.health.v1.Health/Check")
        await check(b"", timeout=timeout)

    @contextlib.contextmanager
    def use(self) -> Iterator[None]:
        """Keeps the channel open for a call, if the connection is replaced meanwhile.

        Raises `Unreachable` if it was replaced before: the loop has run since the caller got it.
        """
        if self.retired or self._closing:
            raise Unreachable(f"{self.url}: the connection broke before the call was sent")
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            if self.retired and self._users == 0:
                self._close()

    async def unary(
        self,
        method: Method[Request, Response],
        request: Request,
        timeout: float,
        metadata: Metadata,
    ) -> Response:
        """Sends one call. Raises `grpc.aio.AioRpcError` or `Undecodable`.

        The caller `use`s the connection.
        """
        call = self._methods.get(method.path)
        if call is None:
            call = self._methods[method.path] = self._channel.unary_unary(
                method.path,
                request_serializer=method.request.SerializeToString,
                response_deserializer=method.response.FromString,
            )
        try:
            response: Response | None = await call(request, timeout=timeout, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            if error.code() not in _LOCAL:
                self.heard = time.monotonic()
            raise
        self.heard = time.monotonic()
        # gRPC returns None if the deserializer fails.
        if response is None:
            raise Undecodable(f"{self.url}: the answer is not a message of the API")
        return response

    def stream(
        self, method: Method[Request, Response], metadata: Metadata
    ) -> grpc.aio.StreamStreamCall[Request, Response]:
        """Begins a stream in both directions. The caller `use`s the connection."""
        begin: Any = self._channel.stream_stream(
            method.path,
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )
        call: grpc.aio.StreamStreamCall[Request, Response] = begin(metadata=metadata)
        return call

    def retire(self) -> None:
        """Closes the channel when its last call has ended."""
        self.retired = True
        if self._users == 0:
            self._close()

    def _close(self) -> None:
        if not self._closing:
            self._closing = True
            self._background.spawn(self.close(), "close a connection", cleanup=True)

    async def close(self) -> None:
        """Closes the channel now."""
        self._closing = True
        await self._channel.close()
        ended(self)


# Codes of errors that gRPC makes itself, without a word from the server.
_LOCAL = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
)
