"""Client of Conclave and etcd, for programs without asyncio. For those with it, see `aio`."""

import os as _os

# gRPC's handlers of forks cannot work with grpc.aio, and may crash the child of any fork, that of
# `subprocess` on Python 3.9 included. gRPC reads this once, when it is first used.
_os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")

from . import aio, api, errors, ops
from ._portal import CancelScope
from ._sync import (
    Barrier,
    Cache,
    Client,
    Counter,
    DoubleBarrier,
    Election,
    Group,
    Latch,
    Lock,
    Membership,
    Mutex,
    Observer,
    Owner,
    Permit,
    Queue,
    QueueItem,
    RwLock,
    Semaphore,
    Service,
    Session,
    Transaction,
    Value,
    Watch,
    WriteLock,
)
from ._sync_base import Feed, Iteration, Listener
from ._tls import Tls
from .aio import (
    Leader,
    OnceResult,
    OwnerEvent,
    ServiceAddress,
    SessionState,
    Swap,
    Versioned,
    parse_address,
)
from .errors import CancelledError, ConclaveError
from .types import Batch, Event, EventType, KeyValue

__all__ = [
    "Barrier",
    "Batch",
    "Cache",
    "CancelScope",
    "CancelledError",
    "Client",
    "ConclaveError",
    "Counter",
    "DoubleBarrier",
    "Election",
    "Event",
    "EventType",
    "Feed",
    "Group",
    "Iteration",
    "KeyValue",
    "Latch",
    "Leader",
    "Listener",
    "Lock",
    "Membership",
    "Mutex",
    "Observer",
    "OnceResult",
    "Owner",
    "OwnerEvent",
    "Permit",
    "Queue",
    "QueueItem",
    "RwLock",
    "Semaphore",
    "Service",
    "ServiceAddress",
    "Session",
    "SessionState",
    "Swap",
    "Tls",
    "Transaction",
    "Value",
    "Versioned",
    "Watch",
    "WriteLock",
    "aio",
    "api",
    "errors",
    "ops",
    "parse_address",
]
