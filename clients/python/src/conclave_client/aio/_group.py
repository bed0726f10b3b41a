"""Group: who is there (K13)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Dict, Optional

from .. import errors
from .._keys import Data, to_bytes, to_name
from ._cache import Cache
from ._opening import Opening
from ._own_key import OwnKey, own_key

if TYPE_CHECKING:
    from ._client import Client
    from ._session import Session


class Group:
    """A group of members, each with a value, that leave when their sessions end."""

    def __init__(self, client: Client, name: Data) -> None:
        self._client = client
        self._prefix = to_name(name) + b"/"

    def join(
        self, session: Session, member: Data, value: Data = b"", *, timeout: Optional[float] = None
    ) -> Opening[Membership]:
        """Joins with a session. A member of the same name is replaced."""
        key = self._prefix + to_name(member)
        return Opening(Membership._join(session, key, to_bytes(value), timeout))

    async def members(self, *, timeout: Optional[float] = None) -> Dict[str, bytes]:
        """Returns the members and their values. Bytes that are not UTF-8 are as in `\\xff`."""
        found = await self._client.list(self._prefix, timeout=timeout)
        return {
            kv.key[len(self._prefix) :].decode(errors="backslashreplace"): kv.value
            for kv in found.kvs
        }

    def listen(self, *, timeout: Optional[float] = None) -> Opening[Cache]:
        """Opens a cache of the members, whose keys are `{name}/{member}`."""
        return self._client.cache(self._prefix, timeout=timeout)


class Membership:
    """A key of one session, which is there until `leave` or the end of the session."""

    def __init__(self, own: OwnKey, entry: int) -> None:
        self._own = own
        # Tells the handles of the same key: only the last one that was opened can change it.
        self._entry = entry

    @classmethod
    async def _join(
        cls, session: Session, key: bytes, value: bytes, timeout: Optional[float]
    ) -> Membership:
        session._check()
        own = own_key(session, "member", key)
        until = own.deadline(timeout)
        # The entry of the handle before this one, and this one's.
        made: list[tuple[int, int]] = []

        async def enter() -> Membership:
            async with own.in_turn(until):
                was_member = own.token != 0
                try:
                    await own.put(value, until=until)
                except BaseException:
                    if not was_member:
                        await own.withdraw()
                    raise
                made.append((own.handle, own.entered_at))
                own.handle = own.entered_at
                return cls(own, own.handle)

        with own.reserved():
            try:
                return await session._while_alive(enter(), None, "joining")
            except asyncio.CancelledError:
                # Maybe at the very moment of success: the caller does not know of it.
                for former, entry in made:
                    undo = _undo(own, former, entry)
                    await session._core.settle(session._core.spawn(undo, "leave member"))
                raise

    @property
    def key(self) -> bytes:
        """The member's key."""
        return self._own.key

    async def update(self, value: Data, *, timeout: Optional[float] = None) -> None:
        """Replaces the member's value. Raises `SessionLostError` if it is no member any more."""
        own, data = self._own, to_bytes(value)
        own.session._check()
        until = own.deadline(timeout)
        async with own.in_turn(until):
            if self._is_last:
                if await own.set(data, until):
                    return
                own._is_gone()
        raise errors.SessionLostError(f"{self.key!r} was deleted or replaced by another member")

    async def leave(self, *, timeout: Optional[float] = None) -> None:
        """Deletes the key, unless another session, or a later `join`, has taken it."""
        until = self._own.deadline(timeout)
        async with self._own.in_turn(until):
            if self._is_last:
                await self._own.delete(until=until)

    @property
    def _is_last(self) -> bool:
        return self._own.token != 0 and self._own.handle == self._entry

    async def close(self) -> None:
        """Leaves, if the session is still there."""
        if self._own.session.is_alive:
            await self.leave()

    async def __aenter__(self) -> Membership:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


async def _undo(own: OwnKey, former: int, entry: int) -> None:
    """Leaves after a `join` whose caller has given up; a handle from before keeps the member."""
    async with own.lock:
        # Otherwise another one has joined since.
        if own.handle == entry:
            own.handle = former
            if former == 0:
                await own.withdraw()
