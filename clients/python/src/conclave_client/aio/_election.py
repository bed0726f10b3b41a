"""Elections: one session leads, and all can see who (K6)."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Awaitable, Callable, Optional, TypeVar

from .. import errors, ops
from .._background import cancel_and_wait
from .._feed import Feed
from .._keys import Data, to_bytes, to_name
from .._pause import Backoff
from .._proto import methods, rpc_pb2
from ..types import EventType, KeyValue, list_result
from ._owner import Owner
from ._place import place_of

if TYPE_CHECKING:
    from ._client import Client
    from ._session import Session

T = TypeVar("T")


@dataclass(frozen=True)
class Leader:
    """A leader: its key, the value that it has proclaimed, and its fencing token."""

    key: bytes
    value: bytes
    token: int

    @classmethod
    def of(cls, kv: KeyValue) -> Leader:
        return cls(kv.key, kv.value, kv.create_revision)


class Election(Owner):
    """An election in which one session is a candidate, with keys `{name}/{lease}`."""

    def __init__(self, session: Session, name: Data) -> None:
        prefix = to_name(name) + b"/"
        key = prefix + session.lease_hex.encode()
        super().__init__(place_of(session, "election", key, prefix))

    async def campaign(self, value: Data, *, timeout: Optional[float] = None) -> None:
        """Waits to be the leader, and proclaims a value. A leader only proclaims it."""
        data = to_bytes(value)
        until = None if timeout is None else self._place.deadline(timeout)

        def left() -> Optional[float]:
            return None if until is None else max(until - time.monotonic(), 0.001)

        # If someone has deleted the leader's key, it is a candidate again.
        while not (self.held and await self._replace(data, left())):
            await self._acquire(data, left(), True)
            if self._place.holders == 1:
                return
            # Another handle of this session has campaigned, maybe with another value.
            self._place.holders -= 1

    async def proclaim(self, value: Data, *, timeout: Optional[float] = None) -> None:
        """Replaces the leader's value. Raises `SessionLostError` if it leads no longer."""
        self._place.session._check()
        if not self.held:
            raise errors.InvalidError("only the leader can proclaim: campaign first")
        if not await self._replace(value, timeout):
            raise errors.SessionLostError(f"{self.key!r} was deleted by someone else")

    async def _replace(self, value: Data, timeout: Optional[float]) -> bool:
        """Replaces the leader's value. Returns false if its key is gone."""
        token = self.token
        done = await self._place.set(to_bytes(value), self._place.deadline(timeout))
        if not done and self._place.owned and self._place.token == token:
            self._place._lose()
        return done

    async def resign(self, *, timeout: Optional[float] = None) -> None:
        """Steps down, so that the next candidate leads.

        If the server refuses to delete the leader's key, its error is raised. This handle does not
        lead then, and the deletion is tried in the background until the session ends.
        """
        await self._give_back(timeout)

    async def run(self, value: Data, work: Callable[[Election], Awaitable[T]]) -> T:
        """Campaigns, runs `work` while it leads, and resigns.

        If leadership ends before, `work` is cancelled and `SessionLostError` is raised.
        """
        await self.campaign(value)
        task = asyncio.ensure_future(work(self))
        lost = asyncio.ensure_future(self.wait_lost())
        try:
            await asyncio.wait({task, lost}, return_when=asyncio.FIRST_COMPLETED)
            if not self.held:
                raise errors.SessionLostError("leadership has ended, so the work was cancelled")
            return task.result()
        finally:
            await cancel_and_wait(lost)
            await cancel_and_wait(task)
            if self.held:
                await self.resign()

    async def __aenter__(self) -> Election:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.held:
            await self.resign()


async def leader(client: Client, name: Data, timeout: Optional[float]) -> Optional[Leader]:
    """Reads the present leader."""
    kv, _ = await _read_leader(client, to_name(name) + b"/", timeout)
    return None if kv is None else Leader.of(kv)


async def _read_leader(
    client: Client, prefix: bytes, timeout: Optional[float]
) -> tuple[Optional[KeyValue], int]:
    request = ops.get(prefix, prefix=True).request_range
    request.sort_target = rpc_pb2.RangeRequest.CREATE
    request.limit = 1
    found = list_result(await client.call(methods.KV_RANGE, request, timeout=timeout))
    return (found.kvs[0] if found.kvs else None), found.revision


class Observer:
    """Iterate over it to get the present leader, then each new one and each new value.

    Leaders that follow each other fast may be left out, but never the last one.
    """

    def __init__(self, client: Client, prefix: bytes) -> None:
        self._client = client
        self._prefix = prefix
        self._feed: Feed[Leader] = Feed(1024)
        self._task: Optional[asyncio.Task[Any]] = None
        self._last: Optional[Leader] = None

    @classmethod
    async def _open(cls, client: Client, name: Data) -> Observer:
        observer = cls(client, to_name(name) + b"/")
        observer._task = client._started().spawn(observer._run(), "observe an election")
        return observer

    def __aiter__(self) -> Observer:
        return self

    async def __anext__(self) -> Leader:
        return await self._feed.__anext__()

    async def close(self) -> None:
        """Ends the iteration."""
        self._feed.finish(drop=True)
        if self._task is not None:
            await cancel_and_wait(self._task)

    async def __aenter__(self) -> Observer:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _run(self) -> None:
        backoff = Backoff()
        while True:
            try:
                kv, revision = await _read_leader(self._client, self._prefix, None)
                if kv is not None:
                    await self._deliver(kv)
                backoff.reset()
                await self._follow(kv, revision)
            except errors.CompactedError:
                pass
            except asyncio.CancelledError:
                self._feed.finish(lambda: errors.ClosedError("the client is closed"), drop=True)
                raise
            except errors.ConclaveError as error:
                if not error.retry:
                    self._feed.fail(error)
                    return
                await asyncio.sleep(backoff.next())
            except Exception as error:
                # A fault of ours: no one must wait for leaders that will not come.
                self._feed.fail(error)
                raise

    async def _follow(self, kv: Optional[KeyValue], revision: int) -> None:
        """Follows one leader until there may be another; without one, waits for a candidate."""
        key = self._prefix if kv is None else kv.key
        async with self._client.watch(key, prefix=kv is None, revision=revision + 1) as watch:
            async for batch in watch:
                for event in batch.events:
                    if kv is None or event.type is EventType.DELETE:
                        return
                    await self._deliver(event.kv)

    async def _deliver(self, kv: KeyValue) -> None:
        leader = Leader.of(kv)
        if leader != self._last:
            self._last = leader
            await self._feed.put(leader)
