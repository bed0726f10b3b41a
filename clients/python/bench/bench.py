"""Measures a client: `bench.py WORKLOAD LIBRARY ENDPOINT`. `../bench.sh` installs the library and
runs this.

Libraries: `ours` (the asyncio client of this folder), `other` (etcd3, which has threads), and
`aetcd` (a fork of etcd3 for asyncio). Workloads, each in one process with one client:

puts       64 puts of 256 bytes in flight. Operations are the answers in 10 s after a warm-up.
handovers  32 sessions lock and unlock one mutex. Operations are the locks acquired in 10 s after a
           warm-up.
watches    10,000 watches of one key each. The time is that of creating all of them. Each must get
           the one event of its key. The memory is what they have added.

Prints `operations seconds cpu_seconds bytes library`, separated by tabs. `bytes` is resident
memory.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import itertools
import resource
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Coroutine

from library import CONTENDERS, IN_FLIGHT, Library, Load

WARM_UP = 2.0
MEASURED = 10.0
KEYS = [f"bench/puts/{number:04}" for number in range(1000)]
WATCHED = [f"bench/watches/{number:05}" for number in range(10_000)]
EVENTS_WITHIN = 60.0

# The module, its class, and the package.
LIBRARIES = {
    "ours": ("ours", "Ours", "conclave-client"),
    "other": ("etcd3_library", "Etcd3", "etcd3"),
    "aetcd": ("aetcd_library", "Aetcd", "aetcd"),
}


@dataclass
class Usage:
    """Resources used by the process, or between two moments."""

    operations: int
    seconds: float
    cpu_seconds: float
    bytes: int

    @classmethod
    def now(cls, operations: int = 0) -> Usage:
        cpu = resource.getrusage(resource.RUSAGE_SELF)
        return cls(operations, time.monotonic(), cpu.ru_utime + cpu.ru_stime, resident())

    def since(self, before: Usage) -> Usage:
        return Usage(
            self.operations - before.operations,
            self.seconds - before.seconds,
            self.cpu_seconds - before.cpu_seconds,
            self.bytes - before.bytes,
        )


def resident() -> int:
    """Returns the process's resident memory in bytes."""
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


async def measure(load: Load, work: Coroutine[Any, Any, None]) -> Usage:
    """Measures after the warm-up, stops the workers, and fails if one of them has failed."""
    task = asyncio.ensure_future(work)
    usages = []
    try:
        for seconds in (WARM_UP, MEASURED):
            done, _ = await asyncio.wait({task}, timeout=seconds)
            if done:
                task.result()
                raise RuntimeError("the workers ended before their time")
            usages.append(Usage.now(load.operations))
    finally:
        # Threads would not end otherwise, nor would the program.
        load.running = False
    await task
    before, after = usages
    used = after.since(before)
    used.bytes = after.bytes
    return used


async def puts(library: Library) -> Usage:
    load = Load(IN_FLIGHT)
    return await measure(load, library.puts(load, itertools.cycle(KEYS)))


async def handovers(library: Library) -> Usage:
    load = Load(CONTENDERS)
    used = await measure(load, library.handovers(load))
    left = await library.count(library.mutex)
    if left != 0:
        raise RuntimeError(f"{left} keys of the mutex are left")
    return used


async def watches(library: Library) -> Usage:
    received = [0] * len(WATCHED)
    await library.count(WATCHED[0])
    gc.collect()
    before = Usage.now()
    await library.watches(WATCHED, received)
    used = Usage.now(len(WATCHED)).since(before)
    await asyncio.wait_for(put_each(library, received), EVENTS_WITHIN)
    gc.collect()
    used.bytes = resident() - before.bytes
    return used


async def put_each(library: Library, received: list[int]) -> None:
    await library.puts(Load(IN_FLIGHT), iter(WATCHED))
    # Not an event: watches of other threads cannot set it.
    while 0 in received:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    if max(received) > 1:
        raise RuntimeError("a watch has received its event twice")


WORKLOADS = {"puts": puts, "handovers": handovers, "watches": watches}


async def run(workload: str, name: str, endpoint: str) -> None:
    module, class_name, package = LIBRARIES[name]
    library: Library = getattr(importlib.import_module(module), class_name)(endpoint)
    used = await WORKLOADS[workload](library)
    await library.close()
    print(
        used.operations,
        f"{used.seconds:.3f}",
        f"{used.cpu_seconds:.3f}",
        used.bytes,
        f"{package} {version(package)}",
        sep="\t",
    )


def main(arguments: list[str]) -> str | None:
    if len(arguments) != 3 or arguments[0] not in WORKLOADS or arguments[1] not in LIBRARIES:
        return f"usage: bench.py {'|'.join(WORKLOADS)} {'|'.join(LIBRARIES)} ENDPOINT"
    try:
        asyncio.run(run(*arguments))
    except Exception as error:
        return f"bench.py: {error!r}"
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
