"""Keys and ranges of keys, as the API wants them."""

from __future__ import annotations

from typing import Union

from .errors import InvalidError

Data = Union[str, bytes]


def to_bytes(data: Data, what: str = "a value") -> bytes:
    """Encodes text as UTF-8."""
    if isinstance(data, str):
        try:
            return data.encode()
        except UnicodeEncodeError as error:
            raise InvalidError(f"{what} is not text that UTF-8 can encode: {error}") from None
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    raise InvalidError(f"{what} is str or bytes, not {type(data).__name__}")


def to_key(key: Data) -> bytes:
    data = to_bytes(key, "a key")
    if not data:
        raise InvalidError("the key is empty")
    return data


def prefix_range(prefix: Data) -> tuple[bytes, bytes]:
    """Returns the first key and the end of all keys with a prefix; empty: all keys."""
    start = to_bytes(prefix, "a prefix")
    # All bytes that are 0xff have no successor, so the one before them is incremented.
    stem = start.rstrip(b"\xff")
    end = stem[:-1] + bytes((stem[-1] + 1,)) if stem else b"\0"
    return start or b"\0", end


def to_range(key: Data, prefix: bool) -> tuple[bytes, bytes]:
    return prefix_range(key) if prefix else (to_key(key), b"")


def to_name(name: Data) -> bytes:
    """Checks the name of a recipe."""
    data = to_bytes(name, "a name")
    if not data:
        raise InvalidError("the name is empty")
    return data


def to_int(number: int, what: str, least: int) -> int:
    if isinstance(number, bool) or not isinstance(number, int) or number < least:
        raise InvalidError(f"{what} is a whole number of at least {least}, not {number!r}")
    if number >= 1 << 63:
        raise InvalidError(f"{what} is too large: {number}")
    return number
