"""Results of calls, and events of watches."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, List, Optional, Union

from ._proto import kv_pb2, rpc_pb2


@dataclass(frozen=True)
class KeyValue:
    """A key at one revision. `lease` is 0 if the key has none."""

    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    lease: int

    @classmethod
    def of(cls, kv: kv_pb2.KeyValue) -> KeyValue:
        return cls(kv.key, kv.value, kv.create_revision, kv.mod_revision, kv.version, kv.lease)


@dataclass(frozen=True)
class GetResult:
    """A read of one key. `kv` is None if there is no such key; `revision` is the store's."""

    kv: Optional[KeyValue]
    revision: int


@dataclass(frozen=True)
class ListResult:
    """A read of a range. `count` is the number of keys in the range, whatever the limit."""

    kvs: List[KeyValue]
    count: int
    revision: int


@dataclass(frozen=True)
class PutResult:
    """A write of one key, at `revision`."""

    revision: int


@dataclass(frozen=True)
class DeleteResult:
    """A delete of `deleted` keys."""

    deleted: int
    revision: int


@dataclass(frozen=True)
class TxnResult:
    """A transaction: the results of the branch that was taken, in order."""

    succeeded: bool
    results: List[Union[GetResult, ListResult, PutResult, DeleteResult]]
    revision: int


class EventType(enum.Enum):
    """A change of a key."""

    PUT = "put"
    DELETE = "delete"


@dataclass(frozen=True)
class Event:
    """A change of a key. Of a deleted key, only `key` and `mod_revision` are set."""

    type: EventType
    kv: KeyValue
    prev_kv: Optional[KeyValue]

    @property
    def key(self) -> bytes:
        return self.kv.key

    @property
    def value(self) -> bytes:
        return self.kv.value

    @property
    def revision(self) -> int:
        return self.kv.mod_revision

    @classmethod
    def of(cls, event: kv_pb2.Event) -> Event:
        deleted = event.type == kv_pb2.Event.DELETE
        prev = KeyValue.of(event.prev_kv) if event.HasField("prev_kv") else None
        return cls(EventType.DELETE if deleted else EventType.PUT, KeyValue.of(event.kv), prev)


@dataclass(frozen=True)
class Batch:
    """All events of a watch's range at one revision."""

    revision: int
    events: List[Event]


def list_result(response: rpc_pb2.RangeResponse, revision: int = 0) -> ListResult:
    return ListResult(
        [KeyValue.of(kv) for kv in response.kvs],
        response.count,
        revision or response.header.revision,
    )


def get_result(response: rpc_pb2.RangeResponse, revision: int = 0) -> GetResult:
    kv = KeyValue.of(response.kvs[0]) if response.kvs else None
    return GetResult(kv, revision or response.header.revision)


def txn_result(response: rpc_pb2.TxnResponse, request: rpc_pb2.TxnRequest) -> TxnResult:
    revision = response.header.revision
    branch = request.success if response.succeeded else request.failure
    results: List[Any] = []
    for op, answer in zip(branch, response.responses):
        kind = answer.WhichOneof("response")
        if kind == "response_put":
            results.append(PutResult(revision))
        elif kind == "response_delete_range":
            results.append(DeleteResult(answer.response_delete_range.deleted, revision))
        elif op.request_range.range_end:
            results.append(list_result(answer.response_range, revision))
        else:
            results.append(get_result(answer.response_range, revision))
    return TxnResult(response.succeeded, results, revision)
