"""The asyncio client of Conclave and etcd."""

from ._barrier import Barrier
from ._cache import Cache
from ._client import Client
from ._counter import Counter
from ._discovery import Service, ServiceAddress, parse_address
from ._double_barrier import DoubleBarrier
from ._election import Election, Leader, Observer
from ._group import Group, Membership
from ._latch import Latch
from ._mutex import Lock, Mutex
from ._once import OnceResult
from ._opening import Opening
from ._owner import Owner
from ._place import OwnerEvent
from ._queue import Queue, QueueItem
from ._rwlock import RwLock, WriteLock
from ._semaphore import Permit, Semaphore
from ._session import Session, SessionState
from ._stm import Transaction
from ._value import Swap, Value, Versioned
from ._watch import Watch

__all__ = [
    "Barrier",
    "Cache",
    "Client",
    "Counter",
    "DoubleBarrier",
    "Election",
    "Group",
    "Latch",
    "Leader",
    "Lock",
    "Membership",
    "Mutex",
    "Observer",
    "OnceResult",
    "Opening",
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
    "Transaction",
    "Value",
    "Versioned",
    "Watch",
    "WriteLock",
    "parse_address",
]
