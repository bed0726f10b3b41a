"""Semaphore: at most so many permits are held at a time (K5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

from .. import errors, ops
from .._keys import Data, to_int, to_name
from .._proto import rpc_pb2
from ..types import EventType, KeyValue, ListResult
from ._opening import Opening
from ._owner import Owner
from ._place import Place
from ._watch import Watch

if TYPE_CHECKING:
    from ._session import Session


class Semaphore:
    """A semaphore as seen by one session: `async with semaphore.acquire() as permit`."""

    def __init__(self, session: Session, name: Data, permits: int) -> None:
        self._session = session
        self._prefix = to_name(name) + b"/"
        self._permits = to_int(permits, "a number of permits", 1)

    def acquire(self, *, timeout: Optional[float] = None) -> Opening[Permit]:
        """Waits for a permit, however long, or for `timeout` seconds (`DeadlineError`).

        Raises `InvalidError` if those that hold permits count on another number of permits.
        """
        return Opening(self._acquire(timeout))

    async def _acquire(self, timeout: Optional[float]) -> Permit:
        permit = await self._new_permit(timeout, True)
        assert permit is not None
        return permit

    async def try_acquire(self) -> Optional[Permit]:
        """Returns a permit if one is free, else None."""
        return await self._new_permit(None, False)

    async def _new_permit(self, timeout: Optional[float], wait: bool) -> Optional[Permit]:
        keys = self._session._own_keys
        # The lowest number that no permit of this session has.
        number = 0
        while ("semaphore", self._key(number)) in keys:
            number += 1
        key = self._key(number)
        place = _Place(self._session, key, self._prefix, self._permits)
        keys["semaphore", key] = place
        permit = Permit(place)
        try:
            acquired = await permit._acquire(str(self._permits).encode(), timeout, wait)
        except BaseException:
            place.drop()
            raise
        if not acquired:
            place.drop()
            return None
        return permit

    def _key(self, number: int) -> bytes:
        return self._prefix + f"{self._session.lease_hex}/{number}".encode()


class Permit(Owner):
    """A permit that is held until `release`, or the end of its `async with` block.

    A permit that is dropped without a release is held until its session ends.
    """

    async def release(self, *, timeout: Optional[float] = None) -> None:
        """Gives the permit back. Raises `SessionLostError` if it was lost before.

        If the server refuses to delete the permit's key, its error is raised. The permit is not
        held by then, and the deletion is tried in the background until the session ends.
        """
        try:
            await self._give_back(timeout)
        finally:
            assert isinstance(self._place, _Place)
            self._place.drop()

    async def close(self) -> None:
        """Gives the permit back if it is still held."""
        if self.held:
            await self.release()

    async def __aenter__(self) -> Permit:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class _Place(Place):
    """A contender that waits until fewer than `permits` are before it."""

    def __init__(self, session: Session, key: bytes, prefix: bytes, permits: int) -> None:
        super().__init__(session, "semaphore", key, prefix)
        self._permits = permits

    def drop(self) -> None:
        """Frees the key's number, when the key is gone."""
        if self._leaving is not None:
            self._leaving.add_done_callback(lambda _: self.drop())
            return
        self.close()
        # A key of which there may be late copies is not used again. After a second release, the
        # number may be that of another permit.
        if self._late is None and self.session._own_keys.get(("semaphore", self.key)) is self:
            del self.session._own_keys["semaphore", self.key]

    async def _turn(self, wait: bool) -> Optional[bool]:
        while True:
            found: list[Any] = []

            async def look(found: list[Any] = found) -> None:
                found[:] = await self._all()

            await self.session._persist(look, wait)
            kvs, revision = found
            before = [kv for kv in kvs if kv.create_revision < self.token]
            if not any(kv.create_revision == self.token and kv.key == self.key for kv in kvs):
                return None
            for kv in before[: self._permits]:
                if kv.value != str(self._permits).encode():
                    raise errors.InvalidError(
                        f"the semaphore has {kv.value.decode(errors='replace')} permits, "
                        f"not {self._permits}"
                    )
            if len(before) < self._permits:
                return True
            if not wait:
                return False
            keys = {kv.key for kv in before}

            async def fewer(keys: set[bytes] = keys, after: int = revision) -> None:
                await self._until_fewer(keys, after)

            await self.session._persist(fewer, wait)

    async def _all(self) -> tuple[list[KeyValue], int]:
        op = ops.get(self._before, prefix=True)
        op.request_range.sort_target = rpc_pb2.RangeRequest.CREATE
        result = await self.session._client.txn([], [op])
        (found,) = result.results
        assert isinstance(found, ListResult)
        return found.kvs, result.revision

    async def _until_fewer(self, before: set[bytes], after: int) -> None:
        """Follows the keys before this one until so few are left that it is this one's turn.

        The key just before is not enough: any of the holders may be the first to release.
        """
        start, end = ops.get(self._before, prefix=True).request_range, b""
        end = start.range_end
        create = rpc_pb2.WatchCreateRequest(
            key=start.key,
            range_end=end,
            start_revision=after + 1,
            progress_notify=True,
            filters=[rpc_pb2.WatchCreateRequest.NOPUT],
        )
        left = set(before)
        watch = await Watch._open(self.session._core, create)
        try:
            async for batch in watch:
                left -= {e.key for e in batch.events if e.type is EventType.DELETE}
                if len(left) < self._permits or any(e.key == self.key for e in batch.events):
                    return
        except errors.CompactedError:
            return
        finally:
            await watch.close()
