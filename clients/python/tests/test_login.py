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


async def permit(cluster: Cluster, name: str, kind: int) -> None:
    """Gives the user bob a permission for the keys that begin with a name."""
    m, rpc = api.methods, api.rpc
    async with Client(cluster.endpoints, user="root", password="pw") as root:
        permission = api.auth.Permission(
            permType=kind,  # type: ignore[arg-type]
            key=name.encode(),
            range_end=name.encode() + b"~",
        )
        await root.call(
            m.AUTH_ROLE_GRANT_PERMISSION,
            rpc.AuthRoleGrantPermissionRequest(name="bob", perm=permission),
        )


def test_unlock_raises_if_the_key_may_not_be_deleted(closed_cluster: Cluster) -> None:
    async def test() -> None:
        m, rpc, name = api.methods, api.rpc, unique("b")
        endpoints = closed_cluster.endpoints
        async with Client(endpoints, user="root", password="pw") as root:
            await root.call(m.AUTH_USER_ADD, rpc.AuthUserAddRequest(name="bob", password="pw"))
            await root.call(m.AUTH_ROLE_ADD, rpc.AuthRoleAddRequest(name="bob"))
            grant = rpc.AuthUserGrantRoleRequest(user="bob", role="bob")
            await root.call(m.AUTH_USER_GRANT_ROLE, grant)
            await permit(closed_cluster, name, api.auth.Permission.READWRITE)
            async with Client(endpoints, user="bob", password="pw") as client:
                async with client.session(10) as session, client.session(10) as other:
                    mutex = session.mutex(name)
                    permits = session.semaphore(f"{name}-permits", 1)
                    await mutex.lock()
                    held = await permits.acquire()
                    waiting = other.mutex(name)
                    giving_up = asyncio.ensure_future(waiting.lock())
                    while len(await client.contenders(name)) != 2:
                        pass
                    await permit(closed_cluster, name, api.auth.Permission.READ)
                    for end in (mutex.unlock(), held.release(), mutex.lock()):
                        with pytest.raises(errors.ApiError) as caught:
                            await soon(end)
                        assert caught.value.name == "PermissionDenied"
                    giving_up.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await soon(giving_up)
                    assert not mutex.held
                    assert not held.held
                    assert (await root.get(mutex.key)).kv is not None
                    assert (await root.get(held.key)).kv is not None
                    await permit(closed_cluster, name, api.auth.Permission.READWRITE)
                    # Without the session's end, the keys go when that is permitted.
                    third = await soon(client.session(10))
                    await soon(third.mutex(name).lock())
                    await soon(third.semaphore(f"{name}-permits", 1).acquire())
                    assert len(await client.contenders(name)) == 1

    run(test())
