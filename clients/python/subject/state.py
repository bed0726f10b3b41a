"""What the subject has opened, by the driver's names."""

from __future__ import annotations

import asyncio
from typing import Any, AsyncIterator, Callable, Dict, List, Optional, TypeVar

from conclave_client import aio, errors

T = TypeVar("T")


class Request:
    """The arguments of a request."""

    def __init__(self, args: Dict[str, Any]) -> None:
        self._args = args

    def __getitem__(self, name: str) -> Any:
        if name not in self._args:
            raise errors.InvalidError(f"the argument {name!r} is missing")
        return self._args[name]

    def get(self, name: str, default: Any = None) -> Any:
        return self._args.get(name, default)

    @property
    def deadline(self) -> Optional[float]:
        deadline: Optional[float] = self.get("deadline")
        return deadline


class State:
    """All handles that are open."""

    def __init__(
        self,
        send: Callable[[Dict[str, Any]], None],
        error_of: Callable[[BaseException], Dict[str, Any]],
        leftovers: Callable[[], List[str]],
    ) -> None:
        self.clients: Dict[str, aio.Client] = {}
        self.sessions: Dict[str, aio.Session] = {}
        # Watches, mutexes, items and so on.
        self.handles: Dict[str, Any] = {}
        self.requests: Dict[int, asyncio.Future[None]] = {}
        self.leftovers = leftovers
        self._send = send
        self._error_of = error_of
        self._readers: set[asyncio.Task[None]] = set()

    def client(self, request: Request) -> aio.Client:
        return self._find(self.clients, request["client"])

    def session(self, request: Request) -> aio.Session:
        return self._find(self.sessions, request["session"])

    def handle(self, request: Request, kind: str) -> Any:
        return self._find(self.handles, request[kind])

    def _find(self, handles: Dict[str, T], name: str) -> T:
        if name not in handles:
            raise errors.InvalidError(f"there is no {name!r}")
        return handles[name]

    def event(self, name: str, event: Dict[str, Any]) -> None:
        self._send({"on": name, "event": event})

    def follow(
        self,
        name: str,
        items: AsyncIterator[Any],
        events: Callable[[Any], List[Dict[str, Any]]],
        *,
        end: bool = False,
    ) -> None:
        """Sends events for the items, and for their end if wanted."""
        task = asyncio.ensure_future(self._follow(name, items, events, end))
        self._readers.add(task)
        task.add_done_callback(self._readers.discard)

    async def _follow(
        self,
        name: str,
        items: AsyncIterator[Any],
        events: Callable[[Any], List[Dict[str, Any]]],
        end: bool,
    ) -> None:
        last: Dict[str, Any] = {"type": "end"}
        try:
            async for item in items:
                for event in events(item):
                    self.event(name, event)
        except errors.ConclaveError as error:
            last["error"] = self._error_of(error)
        if end:
            self.event(name, last)
