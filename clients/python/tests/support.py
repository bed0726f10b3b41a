"""Helpers of tests: waiting for conditions, and a proxy that makes faults."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from types import TracebackType
from typing import Any, AsyncIterator, Callable, Coroutine, List, Optional, Set, Type, TypeVar

from conclave_client import api, errors
from conclave_client._background import leftovers
from conclave_client._connection import Connection
from conclave_client.aio import Client

T = TypeVar("T")

DEADLINE = 20.0


def run(work: Coroutine[Any, Any, T]) -> T:
    """Runs a test, and checks that it leaves nothing of the library behind."""

    async def bounded() -> T:
        return await asyncio.wait_for(work, 60)

    before = leftovers()
    result = asyncio.run(bounded())
    # Threads of callbacks end by themselves.
    give_up = time.monotonic() + DEADLINE
    while leftovers() != before:
        assert time.monotonic() < give_up, leftovers()
        time.sleep(0.01)
    return result


def unique(name: str = "k") -> str:
    """Returns a name that no other test uses."""
    return f"{name}-{uuid.uuid4().hex}"


async def until(condition: Callable[[], Any], what: str) -> None:
    """Waits for a condition that comes from elsewhere."""
    give_up = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < give_up, what
        await asyncio.sleep(0.01)


async def soon(work: Any) -> Any:
    """Awaits something that comes within the deadline of tests."""
    return await asyncio.wait_for(work, DEADLINE)


class Proxy:
    """A TCP proxy to a port of this machine."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._server: Optional[asyncio.AbstractServer] = None
        self._writers: List[asyncio.StreamWriter] = []
        self._tasks: List[asyncio.Task[None]] = []
        # Connections that are being made to the port.
        self._opening: Set[asyncio.Task[Any]] = set()
        # While true, bytes are read and kept back in both directions.
        self._gate = asyncio.Event()
        self._gate.set()
        self.accepted = 0
        # Parts of the stream that were kept back since `hold`.
        self.kept = 0
        self.url = ""

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        assert self._server is not None
        self._server.close()
        # A connection that was accepted just now begins with the next turn of the loop.
        await asyncio.sleep(0)
        await asyncio.gather(*self._opening, return_exceptions=True)
        for task in self._tasks:
            task.cancel()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def hold(self) -> None:
        """Lets nothing through, in connections that stay open."""
        self._gate.clear()
        self.kept = 0

    def strand(self) -> None:
        """Lets nothing through in the present connections, which stay open, for ever."""
        self._gate.clear()
        self._gate = asyncio.Event()
        self._gate.set()

    def pass_on(self) -> None:
        self._gate.set()

    def cut(self) -> None:
        """Breaks all connections. New ones are accepted."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        this: Any = asyncio.current_task()
        self._opening.add(this)
        try:
            to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            writer.transport.abort()
            return
        finally:
            self._opening.discard(this)
        self._writers += [writer, to_writer]
        for source, sink in ((reader, to_writer), (to_reader, writer)):
            copying = self._copy(source, sink, self._gate)
            self._tasks.append(asyncio.ensure_future(copying))

    async def _copy(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, gate: asyncio.Event
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(1 << 16):
                self.kept += not gate.is_set()
                await gate.wait()
                sink.write(data)
                await sink.drain()
        sink.transport.abort()


class Copies:
    """Copies of all transactions that recipes may send again, to be executed late (R8).

    The recipes learn that the fate of an attempt is unknown, as if it hung in a connection.
    """

    def __init__(self, client: Client) -> None:
        self._core = client._started()
        self._call = self._core.call
        self._copies: List[Any] = []
        self._core.call = self._record  # type: ignore[method-assign]

    async def _record(self, method: Any, request: Any, *args: Any, **options: Any) -> Any:
        response = await self._call(method, request, *args, **options)
        fate = options.get("fate")
        if fate is not None:
            fate.unsettled = True
            self._copies.append(request)
        return response

    async def arrive(self) -> None:
        """Executes the copies."""
        copies, self._copies = self._copies, []
        assert copies
        for request in copies:
            await self._call(api.methods.KV_TXN, request)


def deletes(op: api.rpc.RequestOp) -> bool:
    return op.HasField("request_delete_range")


class LateWrite:
    """Keeps the next deletion, or another write, of a recipe, and fails its call."""

    def __init__(
        self,
        client: Client,
        error: errors.ConclaveError,
        is_it: Callable[[api.rpc.RequestOp], bool] = deletes,
    ) -> None:
        self._core = client._started()
        self._call = self._core.call
        self._error = error
        self._is_it = is_it
        self.kept: Any = None
        self._core.call = self._keep  # type: ignore[method-assign]

    async def _keep(self, method: Any, request: Any, *args: Any, **options: Any) -> Any:
        fate = options.get("fate")
        if (
            self.kept is not None
            or fate is None
            or not any(self._is_it(op) for op in request.success)
        ):
            return await self._call(method, request, *args, **options)
        fate.unsettled = True
        self.kept = request
        raise self._error

    async def arrive(self) -> None:
        """Executes the write, whose guards must be false by now."""
        done = await self._call(api.methods.KV_TXN, self.kept)
        assert not done.succeeded


def refused() -> errors.ApiError:
    return errors.ApiError("etcdserver: permission denied", name="PermissionDenied")


async def aim(client: Client, url: str) -> None:
    """Connects to an endpoint, and lets the next call begin there."""
    rotation = client._started().rotation

    def is_next() -> bool:
        endpoint = rotation.endpoints[rotation._turn % len(rotation.endpoints)]
        return endpoint.url == url and endpoint.in_rotation and endpoint._connection is not None

    while not is_next():
        await client.get("a")


def closes_connections(client: Client, count: int) -> List[Connection]:
    """Lets the next connections break between the moment when a call gets them and its sending."""
    closed: List[Connection] = []
    for endpoint in client._started().rotation.endpoints:

        async def connection(original: Any = endpoint.connection) -> Connection:
            made: Connection = await original()
            if len(closed) < count:
                closed.append(made)
                made.retire()
                await made.close()
            return made

        endpoint.connection = connection  # type: ignore[method-assign]
    return closed


@contextlib.asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[str]:
    """Runs a server that gives the same answer to every message of every call."""
    # Not before the library, which sets how gRPC handles forks.
    import grpc.aio

    async def unary(request: bytes, context: Any) -> bytes:
        return answer

    async def stream(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async for _ in requests:
            yield answer

    class Handler(grpc.GenericRpcHandler):
        def service(self, call: Any) -> Any:
            if call.method.endswith(("/Watch", "/LeaseKeepAlive")):
                return grpc.stream_stream_rpc_method_handler(stream)
            return grpc.unary_unary_rpc_method_handler(unary)

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await server.stop(None)
