"""Cache, STM and once (K15 to K17)."""

from __future__ import annotations

import asyncio

import pytest
from servers import Cluster
from support import Proxy, run, soon, unique

from conclave_client import errors
from conclave_client.aio import Client, Transaction
from conclave_client.types import EventType


def test_a_cache_follows(cluster: Cluster) -> None:
    async def test() -> None:
        prefix = unique()
        async with Client(cluster.endpoints) as client:
            await client.put(prefix + "a", "1")
            async with client.cache(prefix) as cache:
                events = cache.events()
                kv = cache.get(prefix + "a")
                assert kv is not None
                assert kv.value == b"1"
                put = await client.put(prefix + "b", "2")
                await cache.at_least(put.revision)
                assert [kv.value for kv in cache.list().values()] == [b"1", b"2"]
                gone = await client.delete(prefix + "a")
                await cache.at_least(gone.revision)
                assert cache.get(prefix + "a") is None
                assert (await soon(events.__anext__())).value == b"2"
                deleted = await soon(events.__anext__())
                assert deleted.type is EventType.DELETE
                assert deleted.prev_kv is not None
                # A change of another key does not come by itself.
                other = await client.put(unique("other"), "3")
                await cache.at_least(other.revision, timeout=5)
                with pytest.raises(errors.DeadlineError):
                    await cache.at_least(other.revision + 1000, timeout=0.1)
            with pytest.raises(errors.ClosedError):
                cache.get(prefix)

    run(test())


def test_after_compaction_it_lists_again(cluster: Cluster) -> None:
    async def test() -> None:
        prefix = unique()
        async with Proxy(cluster.members[0].port) as proxy:
            async with Client(cluster.endpoints) as writer, Client([proxy.url]) as client:
                await writer.put(prefix + "a", "1")
                await writer.put(prefix + "b", "1")
                async with client.cache(prefix) as cache:
                    events = cache.events()
                    proxy.hold()
                    proxy.cut()
                    await writer.put(prefix + "a", "2")
                    await writer.delete(prefix + "b")
                    last = await writer.put(prefix + "c", "1")
                    await writer.compact(last.revision)
                    proxy.pass_on()
                    await cache.at_least(last.revision, timeout=20)
                    seen = [await soon(events.__anext__()) for _ in range(3)]
                    assert {(e.type.value, e.key[-1:], e.value) for e in seen} == {
                        ("delete", b"b", b""),
                        ("put", b"a", b"2"),
                        ("put", b"c", b"1"),
                    }

    run(test())


def test_transfers_lose_nothing(cluster: Cluster) -> None:
    async def test() -> None:
        a, b = unique(), unique()
        async with Client(cluster.endpoints) as client:
            await client.put(a, "100")
            runs = 0

            async def transfer(txn: Transaction) -> int:
                nonlocal runs
                runs += 1
                source = int(await txn.get(a) or 0) - 1
                target = int(await txn.get(b) or 0) + 1
                txn.put(a, str(source))
                txn.put(b, str(target))
                assert await txn.get(a) == str(source).encode()
                return target

            await asyncio.gather(*(client.stm(transfer) for _ in range(10)))
            assert runs >= 10
            values = [(await client.get(key)).kv for key in (a, b)]
            assert [kv.value for kv in values if kv is not None] == [b"90", b"10"]

            async def remove(txn: Transaction) -> None:
                txn.delete(a)
                assert await txn.get(a) is None

            await client.stm(remove)
            assert (await client.get(a)).kv is None

    run(test())


def test_reads_are_of_one_revision(cluster: Cluster) -> None:
    async def test() -> None:
        a, b = unique(), unique()
        async with Client(cluster.endpoints) as client:
            await client.put(a, "1")
            await client.put(b, "1")
            seen: list[tuple[object, object]] = []

            async def read(txn: Transaction) -> None:
                first = await txn.get(a)
                if not seen:
                    await client.put(b, "2")
                    await client.put(a, "2")
                seen.append((first, await txn.get(b)))
                txn.put(unique(), "x")

            await client.stm(read)
            assert seen == [(b"1", b"1"), (b"2", b"2")]

    run(test())


def test_once(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        async with Client(cluster.endpoints) as client:
            sessions = [await client.session(10) for _ in range(3)]
            ran = []

            async def fails() -> str:
                raise RuntimeError("from the test")

            with pytest.raises(RuntimeError):
                await sessions[0].once(name, fails)

            async def work(n: int) -> str:
                ran.append(n)
                return f"by {n}"

            results = await asyncio.gather(
                *(s.once(name, lambda n=n: work(n)) for n, s in enumerate(sessions))  # type: ignore[misc]
            )
            assert len(ran) == 1
            assert {result.value for result in results} == {f"by {ran[0]}".encode()}
            assert [result.ran for result in results].count(True) == 1
            assert (await client.list(f"{name}/lock")).kvs == []

    run(test())
