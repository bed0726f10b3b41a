"""The public types, which mypy checks; nothing here has to run."""

from __future__ import annotations

import importlib.resources
from typing import TYPE_CHECKING, Optional

import conclave_client
from conclave_client import Client, Permit, aio
from conclave_client.types import GetResult, KeyValue

if TYPE_CHECKING:
    from typing_extensions import assert_type

    def sync_face(client: Client) -> None:
        assert_type(client.get("a"), GetResult)
        assert_type(client.get("a").kv, Optional[KeyValue])
        with client.session() as session:
            assert_type(session, conclave_client.Session)
            assert_type(session.semaphore("a", 1).try_acquire(), Optional[Permit])
            with session.mutex("a") as mutex:
                assert_type(mutex.token, int)
        for batch in client.watch("a"):
            assert_type(batch, conclave_client.Batch)
        assert_type(client.stm(lambda txn: txn.get("a")), Optional[bytes])
        status = client.call(
            conclave_client.api.methods.MAINTENANCE_STATUS,
            conclave_client.api.rpc.StatusRequest(),
        )
        assert_type(status, conclave_client.api.rpc.StatusResponse)
        client.put("a", 1)  # type: ignore[arg-type]

    async def asyncio_face(client: aio.Client) -> None:
        assert_type(await client.get("a"), GetResult)
        async with client.session() as session, client.watch("a") as watch:
            assert_type(session, aio.Session)
            async for batch in watch:
                assert_type(batch, conclave_client.Batch)
            async with session.semaphore("a", 1).acquire() as permit:
                assert_type(permit, aio.Permit)


def test_the_package_says_that_it_is_typed() -> None:
    assert (importlib.resources.files("conclave_client") / "py.typed").is_file()
