"""Queue: items that one session each works on, at least once (K10)."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import TYPE_CHECKING, Any, Optional

from .. import errors, ops
from .._background import within
from .._calls import Fate
from .._keys import Data, to_int, to_name
from .._pause import Backoff
from ..types import EventType, KeyValue, ListResult
from ._late import delete_copies
from ._opening import Opening
from ._steps import repeatable_txn, wait_for_event

if TYPE_CHECKING:
    from ._client import Client
    from ._session import Session

_PRIORITY_MAX = 99_999
_DUE_MAX = 9_999_999_999_999

# The longest pause, in seconds, between attempts to release an item that no one works on.
_REFUSED_PAUSE = 5.0


class Queue:
    """A queue: lower priorities first, then what is due earlier, then what was put earlier.

    `take` reads the keys of all items to find the first, so a queue is for thousands of items, not
    for millions.
    """

    def __init__(self, client: Client, name: Data) -> None:
        self._client = client
        self._name = to_name(name)
        self._items = self._name + b"/items/"
        self._claims = self._name + b"/claims/"

    async def put(
        self,
        value: Data,
        *,
        priority: int = 0,
        delay: float = 0.0,
        timeout: Optional[float] = None,
    ) -> None:
        """Adds an item, which is not taken before `delay` seconds have passed."""
        if to_int(priority, "a priority", 0) > _PRIORITY_MAX:
            raise errors.InvalidError(f"a priority is at most {_PRIORITY_MAX}, not {priority}")
        if not isinstance(delay, (int, float)) or not 0 <= delay < 1e9:
            raise errors.InvalidError(f"a delay is a number of seconds from 0 on, not {delay!r}")
        due = 0 if delay == 0 else min(int((time.time() + delay) * 1000), _DUE_MAX)
        rest = f"{priority:05}-{due:013}-{secrets.token_hex(8)}".encode()
        await self._client.put(self._items + rest, value, timeout=timeout)

    def take(self, session: Session, *, timeout: Optional[float] = None) -> Opening[QueueItem]:
        """Waits for an item and claims it for a session, however long or for `timeout` seconds.

        With `async with`, the item is acknowledged at the end of the block, or released if the
        block raises.
        """
        return Opening(self._take(session, timeout))

    async def _take(self, session: Session, timeout: Optional[float]) -> QueueItem:
        session._check()
        taken: list[QueueItem] = []
        claims: list[asyncio.Task[None]] = []
        try:
            await session._while_alive(
                self._claim_first(session, taken, claims), timeout, "taking an item"
            )
        except BaseException:
            # Cancelled while or after it was claimed, of which the caller does not know.
            if claims and session.is_alive:
                undo = _undo(session, claims[-1], taken)
                await session._core.settle(session._core.spawn(undo, "release an item"))
            raise
        return taken[0]

    async def _claim_first(
        self, session: Session, taken: list[QueueItem], claims: list[asyncio.Task[None]]
    ) -> None:
        while not taken:
            found: list[Any] = []

            async def look(found: list[Any] = found) -> None:
                found[:] = await self._look()

            await session._persist(look)
            items, claimed, revision = found
            now = time.time() * 1000
            wake: Optional[float] = None
            for item in items:
                rest = item.key[len(self._items) :]
                if rest in claimed:
                    continue
                due = _due(rest)
                if due > now:
                    wake = due if wake is None else min(wake, due)
                    continue
                claiming = session._core.spawn(
                    self._claim(session, rest, item.create_revision, taken), "claim an item"
                )
                claims[:] = [claiming]
                # Not cancelled with the caller: it is tried until the outcome is known.
                await asyncio.shield(claiming)
                if taken:
                    return
                # Another taker was faster: look again, since more may have changed.
                break
            else:
                await self._changed(session, revision, wake)

    async def _look(self) -> tuple[list[KeyValue], set[bytes], int]:
        """Returns all items in their order, what is claimed, and the revision of both."""
        items, claims = ops.get(self._items, prefix=True), ops.get(self._claims, prefix=True)
        items.request_range.keys_only = claims.request_range.keys_only = True
        found = await self._client.txn([], [items, claims])
        queued, claimed = found.results
        assert isinstance(queued, ListResult)
        assert isinstance(claimed, ListResult)
        order = sorted(
            queued.kvs, key=lambda kv: (kv.key[len(self._items) :][:19], kv.create_revision)
        )
        return order, {kv.key[len(self._claims) :] for kv in claimed.kvs}, found.revision

    async def _claim(
        self, session: Session, rest: bytes, created: int, taken: list[QueueItem]
    ) -> None:
        claim, item = self._claims + rest, self._items + rest
        # Tells this claim from those of other takers, who may have the same session.
        nonce = secrets.token_hex(8).encode()
        fate = Fate()

        async def attempt() -> None:
            done = await repeatable_txn(
                session._core,
                [ops.owner(claim, 0), ops.owner(item, created)],
                [ops.put(claim, nonce, lease=session.lease), ops.get(item)],
                [ops.get(claim), ops.get(item)],
                fate=fate,
            )
            have = done.results[0].kv if not done.succeeded else None  # type: ignore[union-attr]
            kv = done.results[1].kv  # type: ignore[union-attr]
            # An earlier attempt, whose answer was lost, may have made the claim.
            mine = have is not None and have.value == nonce
            if kv is not None and (done.succeeded or mine):
                token = done.revision if have is None else have.create_revision
                taken.append(QueueItem(self._client, item, claim, token, kv.value))

        try:
            await session._persist(attempt)
        finally:
            if fate.unsettled and session.is_alive:
                token = taken[0]._token if taken else 0

                def is_copy(kv: KeyValue) -> bool:
                    return kv.value == nonce and kv.create_revision != token

                async def is_done() -> bool:
                    # A claim that comes later is guarded by the item.
                    kv = (await self._client.get(item)).kv
                    return kv is None or kv.create_revision != created

                delete_copies(session, claim, is_copy, asyncio.Lock(), is_done)

    async def _changed(self, session: Session, after: int, wake: Optional[float]) -> None:
        """Waits until something may be there to be taken."""

        async def wait() -> None:
            await wait_for_event(
                session._core,
                self._name + b"/",
                after,
                EventType.PUT,
                EventType.DELETE,
                prefix=True,
            )

        if wake is None:
            await session._persist(wait)
            return
        try:
            left = max(wake / 1000 - time.time(), 0.001)
            await within(session._persist(wait), left)
        except asyncio.TimeoutError:
            pass


async def _undo(session: Session, claiming: asyncio.Task[None], taken: list[QueueItem]) -> None:
    """Releases what a caller that has given up has taken, or is about to."""
    await asyncio.wait({claiming})
    for item in taken:
        await item._release(session)


def _due(rest: bytes) -> int:
    try:
        return int(rest[6:19])
    except ValueError:
        return 0


class QueueItem:
    """An item that one session has claimed. Acknowledge it when the work is done."""

    def __init__(self, client: Client, item: bytes, claim: bytes, token: int, value: bytes) -> None:
        self._client = client
        self._item = item
        self._claim = claim
        self._token = token
        self._value = value
        self._done = False

    @property
    def value(self) -> bytes:
        """The item as it was put."""
        return self._value

    async def ack(self, *, timeout: Optional[float] = None) -> bool:
        """Deletes the item. Returns false if the claim was lost, so that others may have it."""
        return await self._end([ops.delete(self._item), ops.delete(self._claim)], timeout)

    async def release(self, *, timeout: Optional[float] = None) -> bool:
        """Gives the item to others. Returns false if the claim was lost before."""
        return await self._end([ops.delete(self._claim)], timeout)

    async def _release(self, session: Session) -> None:
        """Gives the item to others, whatever time that takes, while the session lives."""
        guard = [ops.owner(self._claim, self._token)]
        core, pauses = session._core, Backoff(longest=_REFUSED_PAUSE)
        while session.is_alive:
            try:
                await repeatable_txn(core, guard, [ops.delete(self._claim)])
                return
            except errors.ClosedError:
                return
            except errors.ConclaveError:
                await core.pause(pauses.next())

    async def _end(self, steps: list[Any], timeout: Optional[float]) -> bool:
        guard = [ops.owner(self._claim, self._token)]
        ended = (await self._client.txn(guard, steps, timeout=timeout)).succeeded
        # Not after an error: the item is this one's still, or may be.
        self._done = True
        return ended

    async def close(self) -> None:
        """Releases the item, unless it was acknowledged or released."""
        if not self._done:
            await self.release()

    async def __aenter__(self) -> QueueItem:
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        if kind is None and not self._done:
            await self.ack()
            return
        try:
            await self.close()
        except errors.ConclaveError:
            # The error of the block is the more important one.
            if kind is None:
                raise
