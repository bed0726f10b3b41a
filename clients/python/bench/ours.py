"""Our client, with asyncio."""

from __future__ import annotations

import asyncio
from typing import Iterator

from library import IN_FLIGHT, MUTEX, VALUE, Load

from conclave_client.aio import Client, Watch


class Ours:
    mutex = MUTEX

    def __init__(self, endpoint: str) -> None:
        self._client = Client(endpoint)
        self._consumers: list[asyncio.Task[None]] = []

    async def count(self, prefix: str) -> int:
        return len((await self._client.list(prefix, keys_only=True)).kvs)

    async def puts(self, load: Load, keys: Iterator[str]) -> None:
        async def put(worker: int) -> None:
            for key in keys:
                await self._client.put(key, VALUE)
                load.done(worker)
                if not load.running:
                    return

        await asyncio.gather(*map(put, range(load.workers)))

    async def handovers(self, load: Load) -> None:
        async def contend(worker: int) -> None:
            async with self._client.session() as session:
                mutex = session.mutex(MUTEX)
                while load.running:
                    async with mutex:
                        load.acquired(worker)
                        # Another holder would run here, and be noticed.
                        await asyncio.sleep(0)
                        load.releases()

        await asyncio.gather(*map(contend, range(load.workers)))

    async def watches(self, keys: list[str], received: list[int]) -> None:
        async def consume(watch: Watch, number: int) -> None:
            async for batch in watch:
                received[number] += len(batch.events)

        numbered = enumerate(keys)

        async def create() -> None:
            for number, key in numbered:
                watch = await self._client.watch(key)
                self._consumers.append(asyncio.ensure_future(consume(watch, number)))

        await asyncio.gather(*(create() for _ in range(IN_FLIGHT)))

    async def close(self) -> None:
        for consumer in self._consumers:
            consumer.cancel()
        await self._client.close()
