"""A watch, with asyncio: every event once, whatever happens to connections."""

import asyncio

from conclave_client.aio import Client


async def main() -> None:
    async with Client.from_env() as client:
        start = await client.put("examples/watch/a", "1")
        async with client.watch("examples/watch/", prefix=True, revision=start.revision) as watch:
            await client.delete("examples/watch/a")
            async for batch in watch:
                for event in batch.events:
                    print(batch.revision, event.type.value, event.key.decode())
                if batch.revision > start.revision:
                    break


asyncio.run(main())
