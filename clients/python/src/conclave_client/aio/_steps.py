"""Steps of recipes, which are repeated while they fail for reasons that pass."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Awaitable, Callable, Coroutine, Optional, Sequence, TypeVar

from .. import errors, ops
from .._background import until_first
from .._calls import Fate
from .._core import Core, timeout_of
from .._keys import prefix_range
from .._pause import Backoff
from .._proto import methods, rpc_pb2
from ..types import EventType, TxnResult, txn_result
from ._watch import Watch

if TYPE_CHECKING:
    from ._client import Client
    from ._session import Session

T = TypeVar("T")


async def persist(
    core: Core,
    attempt: Callable[[], Awaitable[T]],
    *,
    wait: bool = True,
    until: Optional[float] = None,
) -> T:
    """Repeats a step that can be repeated although an earlier attempt may have happened.

    Without `wait`, only attempts that may have happened are repeated, to find out their outcome.
    With `until`, no attempt begins after then.
    """
    backoff = Backoff()
    while True:
        try:
            return await attempt()
        except errors.ConclaveError as error:
            if not error.retry or not (wait or error.maybe):
                raise
            pause = backoff.next()
            if until is not None and time.monotonic() + pause >= until:
                raise
        await core.pause(pause)


async def repeatable_txn(
    core: Core,
    compares: Sequence[rpc_pb2.Compare],
    then: Sequence[rpc_pb2.RequestOp],
    otherwise: Sequence[rpc_pb2.RequestOp] = (),
    *,
    timeout: Optional[float] = None,
    fate: Optional[Fate] = None,
) -> TxnResult:
    """Runs a transaction, of which a copy that is executed late does no harm (R8)."""
    request = rpc_pb2.TxnRequest(compare=compares, success=then, failure=otherwise)
    response = await core.call(methods.KV_TXN, request, timeout, fate=fate or Fate())
    return txn_result(response, request)


def is_ours(session: Session, key: bytes, token: int, changed: int) -> list[rpc_pb2.Compare]:
    """Compares whether a key is still the one that a session has put, and as it was changed last.

    A session that replaces another one's key keeps its create revision, and so does one that puts
    its key again.
    """
    return [
        ops.owner(key, token),
        ops.compare(key, "lease", "=", session.lease),
        ops.compare(key, "mod_revision", "=", changed),
    ]


async def bounded(
    client: Client, work: Coroutine[Any, Any, T], timeout: Optional[float], what: str
) -> T:
    """Runs what a recipe without a session waits for, until the client ends or the time is up."""
    return await until_first(
        work,
        timeout_of(work, timeout),
        lambda: errors.DeadlineError(f"{what}: the time was up"),
        client._started().closed,
    )


async def wait_for_event(
    core: Core, key: bytes, after: int, *kinds: EventType, prefix: bool = False
) -> None:
    """Waits for a put or delete of a key after a revision.

    Returns, too, if the history since then is compacted: the caller looks again in any case.
    """
    start, end = prefix_range(key) if prefix else (key, b"")
    filters = []
    if EventType.PUT not in kinds:
        filters.append(rpc_pb2.WatchCreateRequest.NOPUT)
    if EventType.DELETE not in kinds:
        filters.append(rpc_pb2.WatchCreateRequest.NODELETE)
    create = rpc_pb2.WatchCreateRequest(
        key=start,
        range_end=end,
        start_revision=after + 1,
        progress_notify=True,
        filters=filters,
    )
    try:
        watch = await Watch._open(core, create)
    except errors.CompactedError:
        return
    try:
        await watch.__anext__()
    except errors.CompactedError:
        return
    finally:
        await watch.close()
