"""etcd3, whose calls block: each worker is a thread.

Its locks have a lease each and are not fair. The messages that etcd3 0.12.0 packs were generated in
2019. Only protobuf 3.20 loads them, on Python 3.11 by its slow code in pure Python.
`load_messages` makes the same messages with the present protobuf, as if they had been generated
today, which saves a fifth of the CPU time of a put.
"""

from __future__ import annotations

import ast
import asyncio
import functools
import importlib
import re
import sys
import time
import types
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, Callable, Iterator
from urllib.parse import urlsplit

from google.protobuf import descriptor_pool
from google.protobuf.internal import builder
from library import MUTEX, VALUE, Load


def load_messages() -> None:
    """Makes etcd3's modules of messages from the descriptors in its generated code."""
    for name in ("kv", "auth", "rpc"):
        path = Path(str(distribution("etcd3").locate_file(f"etcd3/etcdrpc/{name}_pb2.py")))
        # Not parsed as a whole: memory that the parser frees would hold the watches, uncounted.
        literal = re.search(r"serialized_pb=_b\((.*?)\)\n", path.read_text(), re.DOTALL)
        assert literal is not None
        descriptor = ast.literal_eval(literal[1]).encode("latin1")
        module = types.ModuleType(f"etcd3.etcdrpc.{name}_pb2")
        file = descriptor_pool.Default().AddSerializedFile(descriptor)
        builder.BuildMessageAndEnumDescriptors(file, module.__dict__)
        builder.BuildTopDescriptorsAndMessages(file, module.__name__, module.__dict__)
        sys.modules[module.__name__] = module


load_messages()
etcd3 = importlib.import_module("etcd3")


class Etcd3:
    # Where its locks have their keys.
    mutex = "/locks/" + MUTEX

    def __init__(self, endpoint: str) -> None:
        address = urlsplit(endpoint)
        self._client = etcd3.client(address.hostname, address.port)

    async def count(self, prefix: str) -> int:
        return len(list(self._client.get_prefix(prefix, keys_only=True)))

    async def puts(self, load: Load, keys: Iterator[str]) -> None:
        def put(worker: int) -> None:
            for key in keys:
                self._client.put(key, VALUE)
                load.done(worker)
                if not load.running:
                    return

        await in_threads(load, put)

    async def handovers(self, load: Load) -> None:
        def contend(worker: int) -> None:
            lock = self._client.lock(MUTEX)
            while load.running:
                # By default it gives up after 10 s, which is no failure of a lock without turns.
                if not lock.acquire():
                    continue
                load.acquired(worker)
                # Another holder would run here, and be noticed.
                time.sleep(0)
                load.releases()
                if not lock.release():
                    raise RuntimeError("the lock was lost")

        await in_threads(load, contend)

    async def watches(self, keys: list[str], received: list[int]) -> None:
        def count(number: int, response: Any) -> None:
            # An exception, if the stream has ended.
            received[number] += len(getattr(response, "events", ()))

        def create() -> None:
            for number, key in enumerate(keys):
                self._client.add_watch_callback(key, functools.partial(count, number))

        # The library creates one watch at a time, so more threads would only wait.
        await asyncio.get_running_loop().run_in_executor(None, create)

    async def close(self) -> None:
        # Nothing: after its own `close`, the thread of its watches dies with an error.
        pass


async def in_threads(load: Load, work: Callable[[int], None]) -> None:
    """Runs the workers in a thread each. If one fails, the others stop."""
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(load.workers) as threads:
        try:
            await asyncio.gather(
                *(loop.run_in_executor(threads, work, worker) for worker in range(load.workers))
            )
        finally:
            load.running = False
