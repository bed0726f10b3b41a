"""The login of a client, which all of its calls share (C6).

    call A ── refused ──┐
    call B ── refused ──┼── one login ──┬── A again
    call C (new) ───────┘               ├── B again
                                        └── C

A call names the token it was refused with, so a late refusal of a former token does not end the
present one.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any, Callable, Coroutine

from . import errors
from ._connection import Metadata
from ._pause import Backoff
from ._proto.rpc_pb2 import AuthenticateRequest, AuthenticateResponse

# Pauses after failed logins. A server refuses an address for 20 wrong passwords in a minute.
_PAUSE_MIN = 0.1
_PAUSE_MAX = 10.0

Authenticate = Callable[[AuthenticateRequest, float], Coroutine[Any, Any, AuthenticateResponse]]


@dataclass(frozen=True)
class User:
    """A user and password, which are not printed."""

    name: str
    password: str

    def __repr__(self) -> str:
        return f"User(name={self.name!r})"


class Login:
    """The present token, and the way to the next one."""

    def __init__(self, user: User | None, authenticate: Authenticate) -> None:
        self._user = user
        self._authenticate = authenticate
        # None until the first login and after a refusal; empty if the cluster needs no token.
        self.present: Metadata | None = () if user is None else None
        self._lock = asyncio.Lock()
        self._failure: errors.ConclaveError | None = None
        self._backoff = Backoff(_PAUSE_MIN, _PAUSE_MAX)
        self._not_before = 0.0

    async def token(self, deadline: float) -> Metadata:
        """Returns the metadata of a call, after a login if there is no token."""
        if self.present is not None:
            return self.present
        async with self._lock:
            # Another call may have logged in meanwhile.
            if self.present is None:
                self.present = await self._log_in(deadline)
            return self.present

    def forget(self, refused: Metadata) -> bool:
        """Drops a refused token. Returns true if the call can be sent again with another one."""
        if self._user is None:
            return False
        if self.present is refused:
            self.present = None
        return True

    async def _log_in(self, deadline: float) -> Metadata:
        assert self._user is not None
        if self._failure is not None and time.monotonic() < self._not_before:
            raise self._failure.with_traceback(None)
        try:
            request = AuthenticateRequest(name=self._user.name, password=self._user.password)
            response = await self._authenticate(request, deadline)
        except errors.ApiError as error:
            # As in etcd's own client: calls need no token until authentication is enabled.
            if error.name == "AuthNotEnabled":
                return ()
            failure: errors.ConclaveError = error
            if error.name in ("AuthFailed", "UserEmpty", "UserNotFound"):
                failure = errors.LoginError(
                    f"{error}; check the user and password", name=error.name
                )
            self._failed(failure)
            raise failure from None
        except (errors.UnavailableError, errors.DeadlineError) as error:
            self._failed(error)
            raise
        self._failure = None
        self._backoff.reset()
        return (("token", response.token),)

    def _failed(self, failure: errors.ConclaveError) -> None:
        self._failure = failure
        self._not_before = time.monotonic() + self._backoff.next()
