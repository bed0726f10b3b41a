"""Watches: every event of a range, once and in order (W1 to W5)."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Iterable

import grpc

from .. import errors
from .._background import within
from .._core import LOGINS_PER_CALL, Core, check_timeout
from .._feed import Feed
from .._pause import Backoff
from .._proto import methods, rpc_pb2
from .._rotation import Endpoint
from .._streams import Stream, StreamBroken, StreamRefused, open_stream
from ..types import Batch, Event

WatchStream = Stream[rpc_pb2.WatchRequest, rpc_pb2.WatchResponse]

# Batches that wait for a slow consumer; then flow control slows the stream down.
_BUFFER = 1024

# A member without a majority ends the stream, so that the watch goes on elsewhere (W3).
_METADATA = (("hasleader", "true"),)


class Watch:
    """A watch: iterate over it to get its batches, each with the events of one revision.

    It resumes by itself after a failure, without loss or repetition. The iteration ends when the
    watch is closed, with `CompactedError` if history is missing, and with `ApiError` if the server
    refuses it.
    """

    def __init__(self, core: Core, create: rpc_pb2.WatchCreateRequest) -> None:
        self._core = core
        self._create = create
        self._next = create.start_revision
        self._revision = 0
        self._created = asyncio.Event()
        self._feed: Feed[Batch] = Feed(_BUFFER)
        # The stream of now, and whether its progress is delivered as batches without events.
        self._stream: WatchStream | None = None
        self._with_progress = False
        self._pump: asyncio.Task[None] | None = None

    @classmethod
    async def _open(
        cls, core: Core, create: rpc_pb2.WatchCreateRequest, timeout: float | None = None
    ) -> Watch:
        core.check_open()
        watch = cls(core, create)
        watch._pump = core.spawn(watch._run(), "watch")
        try:
            await within(
                watch._created.wait(), core.timeout if timeout is None else check_timeout(timeout)
            )
        except asyncio.TimeoutError:
            await watch.close()
            raise errors.UnavailableError(
                "no endpoint has opened the watch before the deadline"
            ) from None
        except BaseException:
            await watch.close()
            raise
        if watch._revision == 0 and watch._feed.finished:
            # It ended instead: its error is what the iteration begins with.
            await watch.__anext__()
        return watch

    @property
    def revision(self) -> int:
        """The store's revision when the watch was created."""
        return self._revision

    def __aiter__(self) -> Watch:
        return self

    async def __anext__(self) -> Batch:
        return await self._feed.__anext__()

    async def close(self) -> None:
        """Ends the watch; batches that were not read are dropped."""
        self._feed.finish(drop=True)
        if self._pump is not None and not self._pump.done():
            self._pump.cancel()
            await asyncio.wait({self._pump})

    async def __aenter__(self) -> Watch:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _run(self) -> None:
        """Moves batches from one stream after the other to the feed."""
        backoff = Backoff()
        tried: set[Endpoint] = set()
        refusals = 0
        try:
            while True:
                endpoint = self._core.rotation.next(tried)
                if endpoint is None:
                    tried.clear()
                    await asyncio.sleep(backoff.next())
                    continue
                tried.add(endpoint)
                try:
                    async with open_stream(
                        self._core, methods.WATCH_WATCH, endpoint, _METADATA
                    ) as stream:
                        await self._begin(stream)
                        self._stream = stream
                        while True:
                            response = await stream.read()
                            self._check_canceled(stream, response)
                            await self._deliver(response)
                            # Only a stream that brought something counts as a success.
                            backoff.reset()
                            refusals = 0
                            tried = {endpoint}
                except StreamRefused as error:
                    refusals += 1
                    if refusals > LOGINS_PER_CALL:
                        raise errors.from_status(
                            grpc.StatusCode.UNAUTHENTICATED, str(error), write=False
                        ) from None
                    tried.discard(endpoint)
                except StreamBroken:
                    pass
                finally:
                    self._stream = None
        except asyncio.CancelledError:
            # By `close`, whose end is there already, or by the end of the client.
            self._feed.finish(lambda: errors.ClosedError("the client is closed"), drop=True)
            raise
        except errors.ConclaveError as error:
            self._feed.fail(error)
        except Exception as error:
            # A fault of ours: the reader must not wait for events that will not come.
            self._feed.fail(error)
            raise
        finally:
            self._created.set()

    async def _begin(self, stream: WatchStream) -> None:
        self._create.start_revision = self._next
        await stream.write(rpc_pb2.WatchRequest(create_request=self._create))
        created = await stream.read_first()
        self._check_canceled(stream, created)
        if not created.created:
            raise StreamBroken("the server did not confirm the watch")
        if self._revision == 0:
            self._revision = created.header.revision
            self._created.set()
        if self._next == 0:
            self._next = created.header.revision + 1

    async def _deliver(self, response: rpc_pb2.WatchResponse) -> None:
        for batch in split(response):
            # Delivered already, on the stream before this one.
            if batch.revision >= self._next:
                await self._feed.put(batch)
                self._next = batch.revision + 1
        # Progress: an idle watch does not ask for compacted history later.
        if not response.events:
            self._next = max(self._next, response.header.revision + 1)
            if self._with_progress:
                await self._feed.put(Batch(response.header.revision, []))

    async def _ask_progress(self) -> None:
        """Asks how far the events have been sent, if there is a stream to ask on."""
        if self._stream is not None:
            asking = self._core.spawn(self._ask_on(self._stream), "ask for progress")
            # A write that is cancelled would end the stream of the watch, too.
            await asyncio.shield(asking)

    async def _ask_on(self, stream: WatchStream) -> None:
        ask = rpc_pb2.WatchRequest(progress_request=rpc_pb2.WatchProgressRequest())
        with contextlib.suppress(errors.ConclaveError, StreamBroken):
            await stream.write(ask)

    def _check_canceled(self, stream: WatchStream, response: rpc_pb2.WatchResponse) -> None:
        if not response.canceled:
            return
        reason = errors.bare_text(response.cancel_reason)
        row = errors.table_row(reason)
        if response.compact_revision > 0 or (row is not None and row.name == "Compacted"):
            revision = response.compact_revision
            raise errors.CompactedError(
                f"the history before revision {revision} is compacted: read the keys, and watch "
                "from the revision after that of the read",
                revision,
            )
        if reason in errors.REFUSED_TOKEN:
            raise stream.refused(reason)
        if row is not None and row.retry:
            raise StreamBroken(reason)
        raise errors.ApiError(
            reason or "the server canceled the watch", name="" if row is None else row.name
        )


def split(response: rpc_pb2.WatchResponse) -> Iterable[Batch]:
    """Splits a response, which may have many revisions, into batches of one revision."""
    events: list[Event] = []
    for event in map(Event.of, response.events):
        if events and events[0].revision != event.revision:
            yield Batch(events[0].revision, events)
            events = []
        events.append(event)
    if events:
        yield Batch(events[0].revision, events)
