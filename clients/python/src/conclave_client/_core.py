"""What all parts of one asyncio client share: connections, login, deadline and end."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Coroutine, Sequence, TypeVar

from . import _calls, errors
from ._background import Background, End, within
from ._connection import Metadata, Unreachable
from ._login import Login, User
from ._method import Method, Request, Response
from ._proto import methods
from ._proto.rpc_pb2 import AuthenticateRequest, AuthenticateResponse, TxnRequest
from ._rotation import Rotation
from ._targets import Target

T = TypeVar("T")

# Three years: as good as none, and gRPC can express it.
_TIMEOUT_MAX = 1e8

# How long a caller that gives up waits for the removal of what it held.
CLEANUP_WAIT = 1.0

# A refused call is sent again at most this often (C6).
LOGINS_PER_CALL = 2


class Core:
    """The running part of a client. It belongs to the event loop in which it was made."""

    def __init__(self, targets: Sequence[Target], user: User | None, timeout: float) -> None:
        self.timeout = timeout
        # Connections and probes, which closing sessions need, and all that users have begun.
        self.background = Background(Unreachable, errors.ConclaveError)
        self.work = Background(errors.ConclaveError)
        self.rotation = Rotation(targets, self.background)
        self.login = Login(user, self._authenticate)
        self.loop = asyncio.get_running_loop()
        self.closed = End(_closed)
        # Set when the sessions are closed, too, whose last calls follow `closed`.
        self._ended = End(_closed)

    def check_open(self) -> None:
        if asyncio.get_running_loop() is not self.loop:
            raise errors.InvalidError(
                "the client is used in another event loop than before; make one for each loop"
            )
        self.closed.check()

    async def call(
        self,
        method: Method[Request, Response],
        request: Request,
        timeout: float | None = None,
        *,
        last: bool = False,
        fate: _calls.Fate | None = None,
    ) -> Response:
        """Sends a unary call, with the login's token, within `timeout` seconds.

        A `last` call is possible while the client is being closed. A write with a `fate` may be
        sent again.
        """
        try:
            return await self._call(method, request, timeout, last, fate)
        except errors.ConclaveError as error:
            known = errors.after(error, maybe=fate is not None and fate.unsettled)
            if known is error:
                raise
            raise known from None

    async def _call(
        self,
        method: Method[Request, Response],
        request: Request,
        timeout: float | None,
        last: bool,
        fate: _calls.Fate | None,
    ) -> Response:
        if not last:
            self.check_open()
        write = not is_read(method, request)
        timeout = self.timeout if timeout is None else check_timeout(timeout)
        deadline = time.monotonic() + timeout
        refusals = 0
        while True:
            token = await self.token(deadline)
            try:
                return await _calls.call(
                    self.rotation,
                    self._ended if last else self.closed,
                    method,
                    request,
                    token,
                    write=write,
                    deadline=deadline,
                    timeout=timeout,
                    fate=fate,
                )
            except _calls.RefusedToken as refused:
                refusals += 1
                if not self.login.forget(token) or refusals > LOGINS_PER_CALL:
                    error = refused.error
                    raise errors.from_status(
                        error.code(), error.details() or "", write=write
                    ) from None

    async def token(self, deadline: float) -> Metadata:
        """Waits for the shared login, at most until the call's own deadline."""
        if self.login.present is not None:
            return self.login.present
        timeout = deadline - time.monotonic()
        try:
            return await within(self.login.token(deadline), timeout)
        except asyncio.TimeoutError:
            raise errors.UnavailableError(
                "the login was not answered before the deadline"
            ) from None

    async def _authenticate(
        self, request: AuthenticateRequest, deadline: float
    ) -> AuthenticateResponse:
        timeout = max(deadline - time.monotonic(), 0.001)
        # A login is a read: it can be sent twice.
        return await _calls.call(
            self.rotation,
            self._ended,
            methods.AUTH_AUTHENTICATE,
            request,
            (),
            write=False,
            deadline=deadline,
            timeout=timeout,
        )

    async def pause(self, seconds: float) -> None:
        """Sleeps, unless the client is closed."""
        await asyncio.wait({self.closed.future}, timeout=seconds)
        self.closed.check()

    async def settle(self, cleanup: asyncio.Task[Any]) -> None:
        """Waits a moment for a cleanup, which goes on without the caller if it takes longer."""
        await asyncio.wait({cleanup}, timeout=CLEANUP_WAIT)

    def spawn(self, work: Coroutine[Any, Any, T], what: str) -> asyncio.Task[T]:
        return self.work.spawn(work, what)

    async def end_work(self) -> None:
        """Ends all that waits and all that users have begun. `last` calls are still possible."""
        self.closed.set()
        await self.work.close()

    async def close(self) -> None:
        """Ends all tasks and connections."""
        await self.end_work()
        self._ended.set()
        await self.background.close()
        await self.rotation.close()


def _closed() -> errors.ClosedError:
    return errors.ClosedError("the client is closed")


_READS = frozenset(
    method.path
    for method in (
        methods.KV_RANGE,
        methods.LEASE_TIME_TO_LIVE,
        methods.LEASE_LEASES,
        methods.CLUSTER_MEMBER_LIST,
        methods.MAINTENANCE_STATUS,
        methods.MAINTENANCE_HASH_KV,
        methods.AUTH_STATUS,
    )
)


def is_read(method: Method[Any, Any], request: Any) -> bool:
    """Returns true if the call may be executed twice (R2)."""
    if method.path == methods.KV_TXN.path:
        return _only_reads(request)
    return method.path in _READS


def _only_reads(txn: TxnRequest) -> bool:
    return all(
        op.HasField("request_range") or (op.HasField("request_txn") and _only_reads(op.request_txn))
        for op in (*txn.success, *txn.failure)
    )


def check_timeout(timeout: float) -> float:
    if not isinstance(timeout, (int, float)) or not timeout > 0:
        raise errors.InvalidError(f"a timeout is a positive number of seconds, not {timeout!r}")
    return min(timeout, _TIMEOUT_MAX)


def timeout_of(work: Coroutine[Any, Any, Any], timeout: float | None) -> float | None:
    """Checks the timeout of work that has not begun, and does not if the timeout is wrong."""
    try:
        return None if timeout is None else check_timeout(timeout)
    except errors.InvalidError:
        work.close()
        raise
