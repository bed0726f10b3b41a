"""aetcd, a fork of etcd3 for asyncio. Its locks have a lease each and are not fair."""

from __future__ import annotations

import asyncio
from typing import Any, Iterator
from urllib.parse import urlsplit

import aetcd
from library import IN_FLIGHT, MUTEX, VALUE, Load


class Aetcd:
    mutex = MUTEX

    def __init__(self, endpoint: str) -> None:
        address = urlsplit(endpoint)
        self._client = aetcd.Client(address.hostname, address.port)
        self._consumers: list[asyncio.Task[None]] = []

    async def count(self, prefix: str) -> int:
        found = await self._client.get_prefix(prefix.encode(), keys_only=True)
        return len(list(found))

    async def puts(self, load: Load, keys: Iterator[str]) -> None:
        async def put(worker: int) -> None:
            for key in keys:
                await self._client.put(key.encode(), VALUE)
                load.done(worker)
                if not load.running:
                    return

        await asyncio.gather(*map(put, range(load.workers)))

    async def handovers(self, load: Load) -> None:
        async def contend(worker: int) -> None:
            lock = self._client.lock(MUTEX.encode(), ttl=60)
            while load.running:
                # By default it gives up after 10 s, which is no failure of a lock without turns.
                if not await lock.acquire():
                    continue
                load.acquired(worker)
                # Another holder would run here, and be noticed.
                await asyncio.sleep(0)
                load.releases()
                if not await lock.release():
                    raise RuntimeError("the lock was lost")

        await asyncio.gather(*map(contend, range(load.workers)))

    async def watches(self, keys: list[str], received: list[int]) -> None:
        async def consume(watch: Any, number: int) -> None:
            async for _ in watch:
                received[number] += 1

        numbered = enumerate(keys)

        async def create() -> None:
            for number, key in numbered:
                watch = await self._client.watch(key.encode())
                self._consumers.append(asyncio.ensure_future(consume(watch, number)))

        await asyncio.gather(*(create() for _ in range(IN_FLIGHT)))

    async def close(self) -> None:
        for consumer in self._consumers:
            consumer.cancel()
        await self._client.close()
