"""The interface between the workloads and a library."""

from __future__ import annotations

from typing import Iterator, Protocol

VALUE = b"v" * 256
IN_FLIGHT = 64
CONTENDERS = 32
MUTEX = "bench/mutex"


class Load:
    """State shared by the workers of a workload, which are tasks or threads."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.running = True
        # Each worker has a number of its own to add to, since threads cannot share one.
        self._done = [0] * workers
        self._holders = 0

    @property
    def operations(self) -> int:
        return sum(self._done)

    def done(self, worker: int) -> None:
        self._done[worker] += 1

    def acquired(self, worker: int) -> None:
        self._holders += 1
        if self._holders != 1:
            raise RuntimeError("two hold the mutex")
        self.done(worker)

    def releases(self) -> None:
        self._holders -= 1


class Library(Protocol):
    """A client that has been connected, or connects by its first call."""

    mutex: str
    """The prefix of the mutex's keys."""

    async def count(self, prefix: str) -> int:
        """Counts the keys with a prefix."""

    async def puts(self, load: Load, keys: Iterator[str]) -> None:
        """Puts `VALUE` to the keys, which the workers share, while they last and it runs."""

    async def handovers(self, load: Load) -> None:
        """Locks and unlocks `MUTEX` while it runs, each worker with a session of its own."""

    async def watches(self, keys: list[str], received: list[int]) -> None:
        """Returns when each key is watched. The watches count their events in `received`."""

    async def close(self) -> None: ...
