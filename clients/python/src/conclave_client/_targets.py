"""Endpoints as users write them, and the gRPC targets that they mean (C1)."""

from __future__ import annotations

import ipaddress
import os
import re
import sys
from dataclasses import dataclass
from typing import Iterable
from urllib.parse import quote

from ._tls import TlsFiles
from .errors import InvalidError

_HOST_PORT = re.compile(r"(?:\[([^\[\]]+)\]|[\w.-]+):([0-9]{1,5})", re.ASCII)

# The bytes of a path that a socket's address has space for, without the NUL at its end.
_UNIX_PATH_MAX = 107 if sys.platform == "linux" else 103


@dataclass(frozen=True)
class Target:
    """One server: its endpoint, gRPC's name for it, and its TLS files."""

    url: str
    address: str
    tls: TlsFiles | None


def parse_endpoints(endpoints: str | Iterable[str], tls: TlsFiles | None) -> list[Target]:
    """Checks all endpoints. A string may have several, separated by commas."""
    if isinstance(endpoints, str):
        endpoints = endpoints.split(",")
    targets = []
    for url in endpoints:
        if not isinstance(url, str):
            raise InvalidError(f"the endpoint {url!r} is not a string")
        target = _parse(url, tls)
        if target not in targets:
            targets.append(target)
    if not targets:
        raise InvalidError("no endpoint was given; for example http://127.0.0.1:2379")
    return targets


def _parse(text: str, tls: TlsFiles | None) -> Target:
    scheme, separator, rest = text.strip().partition("://")
    scheme = scheme.lower()
    if not separator:
        scheme, rest = ("http" if tls is None else "https"), text.strip()
    rest = rest[:-1] if rest.endswith("/") else rest
    url = f"{scheme}://{rest}"
    secure = scheme in ("https", "unixs")
    if secure and tls is None:
        raise InvalidError(f"{text!r} needs the CA to trust: give `tls=Tls(ca=...)`")
    if scheme in ("unix", "unixs"):
        if not rest.startswith("/") or len(rest) == 1 or "\0" in rest:
            raise InvalidError(f"{text!r} is not unix:///path")
        path = os.fsencode(rest)
        if len(path) > _UNIX_PATH_MAX:
            raise InvalidError(
                f"the path of {text!r} is longer than a Unix socket's, {_UNIX_PATH_MAX} bytes"
            )
        return Target(url, f"unix://{quote(path)}", tls if secure else None)
    found = _HOST_PORT.fullmatch(rest) if scheme in ("http", "https") else None
    if found is None or not 0 < int(found.group(2)) < 65536 or not _is_ipv6(found.group(1)):
        raise InvalidError(
            f"{text!r} is not an endpoint: use http://host:port, https://host:port, "
            "unix:///path, unixs:///path or host:port"
        )
    return Target(url, f"dns:///{quote(rest, safe='[]:')}", tls if secure else None)


def _is_ipv6(text: str | None) -> bool:
    """Returns true for an address, with a zone or without, and for none."""
    if text is None:
        return True
    try:
        return bool(ipaddress.IPv6Address(text))
    except ValueError:
        return False
