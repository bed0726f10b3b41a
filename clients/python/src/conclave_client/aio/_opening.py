"""Handles that take a moment to open."""

from __future__ import annotations

from typing import Any, Coroutine, Generator, Generic, Protocol, TypeVar


class Closable(Protocol):
    async def __aexit__(self, *_: Any) -> None: ...


T = TypeVar("T", bound=Closable)


class Opening(Generic[T]):
    """Opens a handle: `await` it to get the handle, or use it in `async with` to close it, too."""

    def __init__(self, work: Coroutine[Any, Any, T]) -> None:
        self._work = work
        self._handle: T | None = None

    def __await__(self) -> Generator[Any, None, T]:
        return self._work.__await__()

    async def __aenter__(self) -> T:
        self._handle = await self._work
        return self._handle

    async def __aexit__(self, *error: Any) -> None:
        if self._handle is not None:
            await self._handle.__aexit__(*error)
