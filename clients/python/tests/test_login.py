"""Users (C6)."""

from __future__ import annotations

import asyncio
from typing import Iterator

import pytest
from servers import Cluster
from support import run, soon, unique

from conclave_client import api, errors
from conclave_client.aio import Client


async def prepare(cluster: Cluster) -> None:
    """Makes a user root and a user alice, who may use keys that begin with `a`."""
    m, rpc = api.methods, api.rpc
    async with Client(cluster.endpoints) as client:
        for name in ("root", "alice"):
            await client.call(m.AUTH_USER_ADD, rpc.AuthUserAddRequest(name=name, password="pw"))
            await client.call(m.AUTH_ROLE_ADD, rpc.AuthRoleAddRequest(name=name))
            await client.call(
                m.AUTH_USER_GRANT_ROLE, rpc.AuthUserGrantRoleRequest(user=name, role=name)
            )
        permission = api.auth.Permission(
            permType=api.auth.Permission.READWRITE, key=b"a", range_end=b"b"
        )
        await client.call(
            m.AUTH_ROLE_GRANT_PERMISSION,
            rpc.AuthRoleGrantPermissionRequest(name="alice", perm=permission),
        )
        await client.call(m.AUTH_ENABLE, rpc.AuthEnableRequest())


@pytest.fixture(scope="module")
def closed_cluster() -> Iterator[Cluster]:
    """A cluster with authentication."""
    with Cluster() as cluster:
        run(prepare(cluster))
        yield cluster


def test_a_user_logs_in(closed_cluster: Cluster) -> None:
    async def test() -> None:
        async with Client(closed_cluster.endpoints, user="alice", password="pw") as client:
            await client.put("a1", "1")
            with pytest.raises(errors.ApiError) as caught:
                await client.put("b1", "1")
            assert caught.value.name == "PermissionDenied"

    run(test())


def test_no_user(closed_cluster: Cluster) -> None:
    async def test() -> None:
        async with Client(closed_cluster.endpoints) as client:
            with pytest.raises(errors.ApiError) as caught:
                await client.get("a1")
            assert caught.value.name == "UserEmpty"
            with pytest.raises(errors.ApiError) as caught:
                await client.watch("a1", timeout=5)
            assert caught.value.name == "UserEmpty"

    run(test())


def test_a_wrong_password_is_not_tried_all_the_time(closed_cluster: Cluster) -> None:
    async def test() -> None:
        async with Client(closed_cluster.endpoints, user="alice", password="no") as client:
            core = client._started()
            logins = 0
            authenticate = core.login._authenticate

            async def counted(request: api.rpc.AuthenticateRequest, deadline: float) -> object:
                nonlocal logins
                logins += 1
                return await authenticate(request, deadline)

            core.login._authenticate = counted  # type: ignore[assignment]
            for _ in range(20):
                with pytest.raises(errors.LoginError):
                    await client.get("a1")
            assert logins == 1

    run(test())


def test_a_refused_token_is_replaced_by_one_login(closed_cluster: Cluster) -> None:
    async def test() -> None:
        async with Client(closed_cluster.endpoints, user="alice", password="pw") as client:
            await client.get("a1")
            core = client._started()
            core.login.present = (("token", "nonsense.1"),)
            await asyncio.gather(*(client.put(f"a{n}", "1") for n in range(5)))
            core.login.present = (("token", "nonsense.1"),)
            async with client.watch("a1") as watch:
                await client.put("a1", "2")
                assert (await soon(watch.__anext__())).events[0].value == b"2"
            async with client.session(5) as session:
                core.login.present = (("token", "nonsense.1"),)
                async with session.mutex("a-lock") as mutex:
                    assert mutex.held

    run(test())


def test_a_watch_without_permission_ends(closed_cluster: Cluster) -> None:
    async def test() -> None:
        async with Client(closed_cluster.endpoints, user="alice", password="pw") as client:
            with pytest.raises(errors.ApiError) as caught:
                await client.watch("b")
            assert caught.value.name == "PermissionDenied"

    run(test())


def test_a_cluster_without_users_needs_no_token(cluster: Cluster) -> None:
    async def test() -> None:
        async with Client(cluster.endpoints, user="alice", password="pw") as client:
            await client.put(unique(), "1")

    run(test())
