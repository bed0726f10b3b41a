"""The asyncio client."""

from __future__ import annotations

import asyncio
import os
from typing import Awaitable, Callable, Iterable, List, Mapping, Optional, Sequence, TypeVar, Union

from .. import errors
from .._background import shielded
from .._core import Core, check_timeout
from .._environment import options_from_env
from .._keys import Data, to_bytes, to_int, to_key, to_name, to_range
from .._login import User
from .._method import Method, Request, Response
from .._proto import methods, rpc_pb2
from .._targets import parse_endpoints
from .._tls import Tls, TlsFiles
from ..types import (
    DeleteResult,
    GetResult,
    KeyValue,
    ListResult,
    PutResult,
    TxnResult,
    get_result,
    list_result,
    txn_result,
)
from . import _election, _mutex, _stm
from ._barrier import Barrier
from ._cache import Cache
from ._counter import Counter
from ._discovery import Service
from ._election import Leader, Observer
from ._group import Group
from ._latch import Latch
from ._opening import Opening
from ._queue import Queue
from ._session import DEFAULT_TTL, Session
from ._stm import Transaction
from ._value import Value
from ._watch import Watch

T = TypeVar("T")


class Client:
    """A client of one cluster.

    `endpoints` are URLs (see the README), in a list or separated by commas. `timeout` is the
    deadline of calls, in seconds, that have none of their own. Nothing is connected until the first
    call. A client belongs to the event loop of its first call.
    """

    def __init__(
        self,
        endpoints: Union[str, Iterable[str]] = "http://127.0.0.1:2379",
        *,
        tls: Optional[Tls] = None,
        user: Optional[str] = None,
        password: str = "",
        timeout: float = 5.0,
    ) -> None:
        self._targets = parse_endpoints(endpoints, None if tls is None else TlsFiles(tls))
        self._user = None
        if user is not None:
            to_name(user)
            to_bytes(password, "a password")
            self._user = User(user, password)
        self._timeout = check_timeout(timeout)
        self._core: Optional[Core] = None
        self._is_closed = False
        self._sessions: set[Session] = set()

    @classmethod
    def from_env(cls, environ: Optional[Mapping[str, str]] = None) -> Client:
        """Makes a client from etcdctl's environment variables (C4)."""
        return cls(**options_from_env(os.environ if environ is None else environ))

    def _started(self) -> Core:
        if self._is_closed:
            raise errors.ClosedError("the client is closed")
        if self._core is None:
            self._core = Core(self._targets, self._user, self._timeout)
        self._core.check_open()
        return self._core

    async def close(self) -> None:
        """Ends everything that the client has begun; sessions first (S6). Can be called twice."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._core is not None:
            await shielded(self._end(self._core))

    async def _end(self, core: Core) -> None:
        core.closed.set()
        sessions = [session.close() for session in list(self._sessions)]
        await asyncio.gather(core.end_work(), *sessions, return_exceptions=True)
        await core.close()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # ---- Calls ----

    async def call(
        self,
        method: Method[Request, Response],
        request: Request,
        *,
        timeout: Optional[float] = None,
    ) -> Response:
        """Sends any unary method of the API, with its own messages.

        Methods are in `conclave_client.api.methods`, messages in `conclave_client.api`.
        """
        return await self._started().call(method, request, timeout)

    async def get(
        self,
        key: Data,
        *,
        serializable: bool = False,
        revision: int = 0,
        timeout: Optional[float] = None,
    ) -> GetResult:
        """Reads a key, now or at a revision.

        A serializable read is answered by any member at once, and may be stale.
        """
        to_int(revision, "a revision", 0)
        request = rpc_pb2.RangeRequest(
            key=to_key(key), serializable=serializable, revision=revision
        )
        return get_result(await self.call(methods.KV_RANGE, request, timeout=timeout))

    async def list(
        self,
        prefix: Data,
        *,
        limit: int = 0,
        keys_only: bool = False,
        serializable: bool = False,
        revision: int = 0,
        timeout: Optional[float] = None,
    ) -> ListResult:
        """Reads all keys with a prefix, in their order; at most `limit` of them, if not 0."""
        start, end = to_range(prefix, True)
        request = rpc_pb2.RangeRequest(
            key=start,
            range_end=end,
            limit=to_int(limit, "a limit", 0),
            keys_only=keys_only,
            serializable=serializable,
            revision=to_int(revision, "a revision", 0),
        )
        return list_result(await self.call(methods.KV_RANGE, request, timeout=timeout))

    async def put(
        self, key: Data, value: Data, *, lease: int = 0, timeout: Optional[float] = None
    ) -> PutResult:
        """Writes a key, which is deleted with its lease, if it has one."""
        request = rpc_pb2.PutRequest(
            key=to_key(key), value=to_bytes(value), lease=to_int(lease, "a lease", 0)
        )
        response = await self.call(methods.KV_PUT, request, timeout=timeout)
        return PutResult(response.header.revision)

    async def delete(
        self, key: Data, *, prefix: bool = False, timeout: Optional[float] = None
    ) -> DeleteResult:
        """Deletes a key, or all keys with a prefix."""
        start, end = to_range(key, prefix)
        request = rpc_pb2.DeleteRangeRequest(key=start, range_end=end)
        response = await self.call(methods.KV_DELETE_RANGE, request, timeout=timeout)
        return DeleteResult(response.deleted, response.header.revision)

    async def txn(
        self,
        compares: Sequence[rpc_pb2.Compare],
        then: Sequence[rpc_pb2.RequestOp] = (),
        otherwise: Sequence[rpc_pb2.RequestOp] = (),
        *,
        timeout: Optional[float] = None,
    ) -> TxnResult:
        """Runs `then` if all comparisons hold, else `otherwise`, at one revision.

        The parts are made by the functions in `conclave_client.ops`.
        """
        request = rpc_pb2.TxnRequest(compare=compares, success=then, failure=otherwise)
        response = await self.call(methods.KV_TXN, request, timeout=timeout)
        return txn_result(response, request)

    async def compact(self, revision: int, *, timeout: Optional[float] = None) -> None:
        """Removes the history before a revision."""
        request = rpc_pb2.CompactionRequest(revision=to_int(revision, "a revision", 1))
        await self.call(methods.KV_COMPACT, request, timeout=timeout)

    # ---- Handles ----

    def watch(
        self,
        key: Data,
        *,
        prefix: bool = False,
        revision: int = 0,
        prev_kv: bool = False,
        timeout: Optional[float] = None,
    ) -> Opening[Watch]:
        """Watches a key, or all keys with a prefix, from a revision on; 0: from now on.

        `timeout` is how long the watch may take to be created.
        """
        start, end = to_range(key, prefix)
        create = rpc_pb2.WatchCreateRequest(
            key=start,
            range_end=end,
            start_revision=to_int(revision, "a revision", 0),
            prev_kv=prev_kv,
            progress_notify=True,
        )
        return Opening(Watch._open(self._started(), create, timeout))

    def session(
        self, ttl: int = DEFAULT_TTL, *, timeout: Optional[float] = None
    ) -> Opening[Session]:
        """Opens a session, whose lease lives for `ttl` seconds without this client."""
        return Opening(Session._open(self, ttl, timeout))

    # ---- Recipes without a session ----

    async def contenders(self, name: Data, *, timeout: Optional[float] = None) -> List[KeyValue]:
        """Returns the keys of all that hold or wait for a mutex, or are candidates in an election.

        They are in the order of their turns; the first one is the owner's.
        """
        return await _mutex.contenders(self, name, timeout)

    async def revoke(self, name: Data, *, timeout: Optional[float] = None) -> bool:
        """Asks the owner of a mutex to unlock it. Returns false if there was none (K3)."""
        return await _mutex.revoke(self, name, timeout)

    async def leader(self, name: Data, *, timeout: Optional[float] = None) -> Optional[Leader]:
        """Returns the present leader of an election."""
        return await _election.leader(self, name, timeout)

    def observe(self, name: Data) -> Opening[Observer]:
        """Observes the leaders of an election."""
        return Opening(Observer._open(self, name))

    def barrier(self, name: Data) -> Barrier:
        """Returns a barrier."""
        return Barrier(self, name)

    def latch(self, name: Data) -> Latch:
        """Returns a latch."""
        return Latch(self, name)

    def queue(self, name: Data) -> Queue:
        """Returns a queue."""
        return Queue(self, name)

    def counter(self, name: Data) -> Counter:
        """Returns a counter."""
        return Counter(self, name)

    def value(self, name: Data) -> Value:
        """Returns a shared value."""
        return Value(self, name)

    def group(self, name: Data) -> Group:
        """Returns a group of members."""
        return Group(self, name)

    def service(self, name: Data) -> Service:
        """Returns a service, for discovery."""
        return Service(self, name)

    def cache(self, prefix: Data, *, timeout: Optional[float] = None) -> Opening[Cache]:
        """Opens a cache of all keys with a prefix."""
        return Opening(Cache._open(self, prefix, timeout))

    async def stm(
        self, work: Callable[[Transaction], Awaitable[T]], *, timeout: Optional[float] = None
    ) -> T:
        """Runs `work`, whose reads and writes take effect together; it may run several times.

        `timeout` is the deadline of each commit.
        """
        return await _stm.run(self, work, timeout)
