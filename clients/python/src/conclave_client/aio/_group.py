"""Group: who is there (K13)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, Optional

from .. import ops
from .._keys import Data, to_bytes, to_name
from ._cache import Cache
from ._opening import Opening

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

    def __init__(self, session: Session, key: bytes) -> None:
        self._session = session
        self._key = key

    @classmethod
    async def _join(
        cls, session: Session, key: bytes, value: bytes, timeout: Optional[float]
    ) -> Membership:
        session._check()
        membership = cls(session, key)
        await membership.update(value, timeout=timeout)
        return membership

    @property
    def key(self) -> bytes:
        """The member's key."""
        return self._key

    async def update(self, value: Data, *, timeout: Optional[float] = None) -> None:
        """Replaces the member's value."""
        self._session._check()
        client = self._session._client

        async def put() -> None:
            await client.put(self._key, value, lease=self._session.lease, timeout=timeout)

        await self._session._persist(put, False)

    async def leave(self, *, timeout: Optional[float] = None) -> None:
        """Deletes the key, unless another session has taken it."""
        mine = [ops.compare(self._key, "lease", "=", self._session.lease)]
        await self._session._client.txn(mine, [ops.delete(self._key)], timeout=timeout)

    async def close(self) -> None:
        """Leaves, if the session is still there."""
        if self._session.is_alive:
            await self.leave()

    async def __aenter__(self) -> Membership:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
