"""TLS files, which are read again for every new connection (C5)."""

from __future__ import annotations

import contextlib
import os
import ssl
from dataclasses import dataclass
from typing import Optional, Union

import grpc

from .errors import InvalidError

Path = Union[str, "os.PathLike[str]"]


@dataclass(frozen=True)
class Tls:
    """Files with certificates in PEM.

    `ca` has the authorities to trust; the system's are not used. `cert` and `key` are the client's
    own, and are given together. A server's certificate must be for the host in its endpoint, or for
    `server_name`. The files are read for every new connection; if they cannot be used at that time,
    the former ones are.
    """

    ca: Path
    cert: Optional[Path] = None
    key: Optional[Path] = None
    server_name: Optional[str] = None


class TlsFiles:
    """The files' present content, as gRPC needs it."""

    def __init__(self, tls: Tls) -> None:
        if (tls.cert is None) != (tls.key is None):
            raise InvalidError("TLS needs both `cert` and `key`, or neither")
        self._tls = tls
        self._credentials = self._read()

    @property
    def server_name(self) -> str | None:
        return self._tls.server_name

    def credentials(self) -> grpc.ChannelCredentials:
        """Reads the files for a new connection."""
        # One of two files has been replaced, for example: the former pair still works.
        with contextlib.suppress(InvalidError):
            self._credentials = self._read()
        return self._credentials

    def _read(self) -> grpc.ChannelCredentials:
        tls = self._tls
        ca = _read_file(tls.ca)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_verify_locations(cafile=os.fspath(tls.ca))
        except (OSError, ValueError) as error:
            raise InvalidError(f"{tls.ca}: not a file of PEM certificates: {error}") from error
        if tls.cert is None or tls.key is None:
            return grpc.ssl_channel_credentials(root_certificates=ca)
        cert, key = _read_file(tls.cert), _read_file(tls.key)
        try:
            # Without a function for the password, OpenSSL would ask for it on the terminal.
            context.load_cert_chain(tls.cert, tls.key, password=lambda: b"")
        except (OSError, ValueError) as error:
            raise InvalidError(
                f"{tls.cert} and {tls.key}: not a certificate and its key in PEM: {error}"
            ) from error
        return grpc.ssl_channel_credentials(
            root_certificates=ca, private_key=key, certificate_chain=cert
        )


def _read_file(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise InvalidError(f"{os.fspath(path)}: {error.strerror}") from error
