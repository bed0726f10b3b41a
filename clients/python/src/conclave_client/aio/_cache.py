"""Cache: a copy of a prefix that follows its changes without a gap (K15)."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Dict, Optional

from .. import errors
from .._background import cancel_and_wait, within
from .._feed import Feed
from .._keys import Data, to_int, to_key
from .._listeners import Callback, Listener, Listeners
from .._pause import Backoff
from ..types import Event, EventType, KeyValue
from ._steps import bounded
from ._watch import Watch

if TYPE_CHECKING:
    from ._client import Client

# How often a member is asked how far its events have been sent, while someone waits for it.
_ASK = 0.25


class Cache:
    """A copy of all keys with a prefix. Open it with `Client.cache`."""

    def __init__(self, client: Client, prefix: Data) -> None:
        self._client = client
        self._core = client._started()
        self._prefix = prefix
        self._kvs: Dict[bytes, KeyValue] = {}
        self._revision = 0
        self._listeners: Listeners[Event] = Listeners(self._core.background, "cache listener")
        self._advanced = asyncio.Event()
        self._watch: Optional[Watch] = None
        self._task: Optional[asyncio.Task[None]] = None
        self._error: Optional[Exception] = None

    @classmethod
    async def _open(cls, client: Client, prefix: Data, timeout: Optional[float]) -> Cache:
        cache = cls(client, prefix)
        await cache._load(timeout)
        cache._task = cache._core.spawn(cache._run(), "cache")
        return cache

    @property
    def revision(self) -> int:
        """The cache has all changes up to this revision."""
        return self._revision

    def get(self, key: Data) -> Optional[KeyValue]:
        """Returns a key as the cache has it."""
        self._check()
        return self._kvs.get(to_key(key))

    def list(self) -> Dict[bytes, KeyValue]:
        """Returns a copy of all keys, in their order."""
        self._check()
        return dict(sorted(self._kvs.items()))

    async def at_least(self, revision: int, *, timeout: Optional[float] = None) -> None:
        """Waits until the cache has all changes up to a revision, for example that of a put."""
        to_int(revision, "a revision", 0)
        self._check()
        await bounded(
            self._client, self._at_least(revision), timeout, f"waiting for revision {revision}"
        )

    async def _at_least(self, revision: int) -> None:
        while self._revision < revision:
            self._check()
            self._advanced.clear()
            # Changes of other keys do not come by themselves.
            if self._watch is not None:
                await self._watch._ask_progress()
            with contextlib.suppress(asyncio.TimeoutError):
                await within(self._advanced.wait(), _ASK)

    def events(self) -> Feed[Event]:
        """Returns an iterator over all changes from now on."""
        self._check()
        return self._listeners.feed()

    def on_event(self, callback: Callback[Event]) -> Listener[Event]:
        """Calls a function with every change from now on.

        A plain function is called on a thread of its own, a coroutine function in the event loop.
        """
        self._check()
        return self._listeners.listen(callback)

    async def close(self) -> None:
        """Ends the cache and its iterators."""
        self._fail(errors.ClosedError("the cache is closed"))
        if self._task is not None:
            await cancel_and_wait(self._task)

    async def __aenter__(self) -> Cache:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _check(self) -> None:
        self._core.closed.check()
        if self._error is not None:
            raise self._error.with_traceback(None)

    def _fail(self, error: Exception) -> None:
        if self._error is None:
            self._error = error
        # Iterators end as the watch did, so that an end by a fault is not taken for `close`.
        is_end = isinstance(error, errors.ClosedError)
        self._listeners.close(None if is_end else lambda: error)
        self._advanced.set()

    async def _load(self, timeout: Optional[float] = None) -> None:
        """Reads all keys, and reports the differences to what the cache had."""
        found = await self._client.list(self._prefix, timeout=timeout)
        former, self._kvs = self._kvs, {kv.key: kv for kv in found.kvs}
        for key, old in former.items():
            if key not in self._kvs:
                gone = KeyValue(key, b"", 0, found.revision, 0, 0)
                self._listeners.notify(Event(EventType.DELETE, gone, old))
        for key, kv in self._kvs.items():
            before = former.get(key)
            if before != kv:
                self._listeners.notify(Event(EventType.PUT, kv, before))
        self._advance(found.revision)

    def _advance(self, revision: int) -> None:
        self._revision = max(self._revision, revision)
        self._advanced.set()

    async def _run(self) -> None:
        backoff = Backoff()
        while True:
            try:
                await self._follow()
            except errors.CompactedError:
                await self._reload(backoff)
            except asyncio.CancelledError:
                self._fail(errors.ClosedError("the client is closed"))
                raise
            except errors.ConclaveError as error:
                if not error.retry:
                    return self._fail(error)
                await asyncio.sleep(backoff.next())
            except Exception as error:
                # A fault of ours: no one must wait for changes that will not come.
                self._fail(error)
                raise
            else:
                return None

    async def _reload(self, backoff: Backoff) -> None:
        while True:
            try:
                return await self._load()
            except errors.ConclaveError as error:
                if not error.retry:
                    return self._fail(error)
                await asyncio.sleep(backoff.next())

    async def _follow(self) -> None:
        opening = self._client.watch(self._prefix, prefix=True, revision=self._revision + 1)
        async with opening as self._watch:
            self._watch._with_progress = True
            async for batch in self._watch:
                for event in batch.events:
                    before = self._kvs.pop(event.key, None)
                    if event.type is EventType.PUT:
                        self._kvs[event.key] = event.kv
                    self._listeners.notify(Event(event.type, event.kv, before))
                self._advance(batch.revision)
