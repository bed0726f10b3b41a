"""The conformance subject: requests on standard input, replies and events on standard output.

See `clients/conformance/README.md`. It has no logic of its own.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from typing import Any, AsyncIterator, Awaitable, Callable, Dict

import operations
from state import Request, State

from conclave_client import errors
from conclave_client._background import leftovers

Operation = Callable[[State, Request], Awaitable[Dict[str, Any]]]


def send(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def plain_error(kind: str, text: str) -> dict[str, Any]:
    return {"kind": kind, "name": "", "retry": False, "maybe": False, "text": text}


def error_of(error: BaseException) -> dict[str, Any]:
    if isinstance(error, asyncio.CancelledError):
        cancelled = plain_error("cancelled", "the request was cancelled")
        return {**cancelled, "maybe": getattr(error, "maybe", False)}
    if isinstance(error, errors.ConclaveError):
        made: dict[str, Any] = {
            "kind": error.kind,
            "name": error.name,
            "retry": error.retry,
            "maybe": error.maybe,
            "text": str(error),
        }
        if isinstance(error, errors.CompactedError):
            made["revision"] = error.revision
        return made
    logging.error("a request failed", exc_info=error)
    return plain_error("bug", repr(error))


async def answer(state: State, number: int, op: str, request: Request) -> None:
    operation: Operation | None = operations.ALL.get(op)
    try:
        if operation is None:
            send({"id": number, "error": plain_error("unsupported", op)})
            return
        send({"id": number, "ok": await operation(state, request)})
    except (Exception, asyncio.CancelledError) as error:
        send({"id": number, "error": error_of(error)})
    finally:
        state.requests.pop(number, None)


async def lines() -> AsyncIterator[bytes]:
    reader = asyncio.StreamReader(limit=1 << 26)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield line


async def main() -> None:
    logging.basicConfig(stream=sys.stderr, level=logging.INFO)
    state = State(send, error_of, leftovers)
    async for line in lines():
        message = json.loads(line)
        number = message["id"]
        request = Request(message.get("args", {}))
        work = answer(state, number, message["op"], request)
        state.requests[number] = asyncio.ensure_future(work)
    for client in list(state.clients.values()):
        await client.close()


if __name__ == "__main__":
    asyncio.run(main())
