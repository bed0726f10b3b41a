"""Service discovery, with keys and values as in etcd's `naming` package (K14)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, List, Optional

from .._keys import Data, to_name
from ._cache import Cache
from ._group import Membership
from ._opening import Opening

if TYPE_CHECKING:
    from ._client import Client
    from ._session import Session


@dataclass(frozen=True)
class ServiceAddress:
    """An address of a service, with metadata that JSON can express."""

    address: str
    metadata: Any = None


class Service:
    """A service, whose addresses are there while the sessions that registered them are."""

    def __init__(self, client: Client, name: Data) -> None:
        self._client = client
        self._prefix = to_name(name) + b"/"

    def register(
        self,
        session: Session,
        address: str,
        metadata: Any = None,
        *,
        timeout: Optional[float] = None,
    ) -> Opening[Membership]:
        """Registers an address."""
        key = self._prefix + to_name(address)
        text = json.dumps(
            {"Op": 0, "Addr": address, "Metadata": metadata},
            separators=(",", ":"),
            ensure_ascii=False,
        )
        return Opening(Membership._join(session, key, text.encode(), timeout))

    async def list(self, *, timeout: Optional[float] = None) -> List[ServiceAddress]:
        """Returns all addresses, sorted. What other programs have stored wrongly is left out."""
        found = await self._client.list(self._prefix, timeout=timeout)
        addresses = [parse_address(kv.value) for kv in found.kvs]
        return sorted(
            (address for address in addresses if address is not None), key=lambda a: a.address
        )

    def listen(self, *, timeout: Optional[float] = None) -> Opening[Cache]:
        """Opens a cache of the addresses; see `parse_address`."""
        return self._client.cache(self._prefix, timeout=timeout)


def parse_address(value: bytes) -> Optional[ServiceAddress]:
    """Reads the value of an address' key. Returns None if it is none."""
    try:
        fields = json.loads(value)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict) or not isinstance(fields.get("Addr"), str):
        return None
    return ServiceAddress(fields["Addr"], fields.get("Metadata"))
