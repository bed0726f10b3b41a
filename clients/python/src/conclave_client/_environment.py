"""etcdctl's environment variables (C4)."""

from __future__ import annotations

import re
from typing import Any, Mapping

from ._tls import Tls
from .errors import InvalidError

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)" + f"({'|'.join(_UNITS)})", re.ASCII)


def options_from_env(environ: Mapping[str, str]) -> dict[str, Any]:
    """Returns the arguments of a client."""
    options: dict[str, Any] = {}
    if environ.get("ETCDCTL_INSECURE_SKIP_TLS_VERIFY", "").lower() in ("1", "t", "true"):
        raise InvalidError(
            "ETCDCTL_INSECURE_SKIP_TLS_VERIFY is set: a client that trusts any server is not "
            "supported; give the CA in ETCDCTL_CACERT"
        )
    if endpoints := environ.get("ETCDCTL_ENDPOINTS"):
        options["endpoints"] = endpoints
    cert, key = environ.get("ETCDCTL_CERT"), environ.get("ETCDCTL_KEY")
    if ca := environ.get("ETCDCTL_CACERT"):
        options["tls"] = Tls(ca, cert or None, key or None)
    elif cert or key:
        raise InvalidError("ETCDCTL_CERT and ETCDCTL_KEY need ETCDCTL_CACERT, too")
    if user := environ.get("ETCDCTL_USER"):
        name, _, password = user.partition(":")
        options["user"] = name
        options["password"] = environ.get("ETCDCTL_PASSWORD") or password
    if timeout := environ.get("ETCDCTL_COMMAND_TIMEOUT"):
        options["timeout"] = duration(timeout)
    return options


def duration(text: str) -> float:
    """Reads a positive duration as Go writes it, for example `5s` or `1m30s`, in seconds."""
    parts = _PART.findall(text)
    seconds: float = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != text or seconds <= 0:
        raise InvalidError(
            f"ETCDCTL_COMMAND_TIMEOUT is {text!r}, which is not a positive duration such as 5s"
        )
    return seconds
