"""Parts of transactions: comparisons, and what to do.

await client.txn(
    [compare("a", "value", "=", "1"), owner(lock.key, lock.token)],
    then=[put("a", "2")],
    otherwise=[get("a")],
)
"""

from __future__ import annotations

from typing import Union

from ._keys import Data, to_bytes, to_int, to_key, to_range
from ._proto.rpc_pb2 import Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp
from .errors import InvalidError

_IS = {"=": Compare.EQUAL, "!=": Compare.NOT_EQUAL, "<": Compare.LESS, ">": Compare.GREATER}
_TARGETS = {
    "create_revision": Compare.CREATE,
    "mod_revision": Compare.MOD,
    "version": Compare.VERSION,
    "lease": Compare.LEASE,
    "value": Compare.VALUE,
}


def compare(key: Data, target: str, is_: str, than: Union[int, Data]) -> Compare:
    """Compares a key's `create_revision`, `mod_revision`, `version`, `lease` or `value`.

    `is_` is `=`, `!=`, `<` or `>`. The numbers of a key that does not exist are 0.
    """
    if target not in _TARGETS:
        raise InvalidError(f"{target!r} cannot be compared; use one of {', '.join(_TARGETS)}")
    if is_ not in _IS:
        raise InvalidError(f"{is_!r} is not a comparison; use one of {', '.join(_IS)}")
    result = Compare(key=to_key(key), target=_TARGETS[target], result=_IS[is_])
    if target == "value":
        if isinstance(than, int):
            raise InvalidError("a value is compared with str or bytes")
        result.value = to_bytes(than)
    elif isinstance(than, int):
        setattr(result, target, to_int(than, f"a {target}", 0))
    else:
        raise InvalidError(f"{target} is compared with a number, not {than!r}")
    return result


def owner(key: Data, token: int) -> Compare:
    """True while `key` is the owner's key with this fencing token (K1)."""
    return compare(key, "create_revision", "=", token)


def put(key: Data, value: Data, *, lease: int = 0, keep_lease: bool = False) -> RequestOp:
    """Writes a key, with a lease if given, or the one that it has."""
    to_int(lease, "a lease", 0)
    return RequestOp(
        request_put=PutRequest(
            key=to_key(key), value=to_bytes(value), lease=lease, ignore_lease=keep_lease
        )
    )


def get(key: Data, *, prefix: bool = False) -> RequestOp:
    """Reads a key, or all keys with a prefix."""
    start, end = to_range(key, prefix)
    return RequestOp(request_range=RangeRequest(key=start, range_end=end))


def delete(key: Data, *, prefix: bool = False) -> RequestOp:
    """Deletes a key, or all keys with a prefix."""
    start, end = to_range(key, prefix)
    return RequestOp(request_delete_range=DeleteRangeRequest(key=start, range_end=end))
