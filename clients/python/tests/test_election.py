"""Elections (K6)."""

from __future__ import annotations

import asyncio

import pytest
from servers import Cluster
from support import Proxy, run, soon, unique

from conclave_client import api, errors
from conclave_client.aio import Client, Election


def test_campaign_proclaim_resign_observe(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        async with Client(cluster.endpoints) as client:
            assert await client.leader(name) is None
            async with client.session(10) as one, client.session(10) as two:
                async with client.observe(name) as observer:
                    first, second = one.election(name), two.election(name)
                    await first.campaign("a")
                    assert (await soon(observer.__anext__())).value == b"a"
                    await first.proclaim("b")
                    assert (await soon(observer.__anext__())).value == b"b"
                    waiting = asyncio.ensure_future(second.campaign("c"))
                    while len(await client.contenders(name)) < 2:
                        pass
                    assert [kv.value for kv in await client.contenders(name)] == [b"b", b"c"]
                    leader = await client.leader(name)
                    assert leader is not None
                    assert (leader.value, leader.token) == (b"b", first.token)
                    await first.resign()
                    await soon(waiting)
                    seen = await soon(observer.__anext__())
                    assert (seen.value, seen.token) == (b"c", second.token)
                    assert second.token > first.token
                    assert not first.held
                    with pytest.raises(errors.InvalidError):
                        await first.proclaim("d")

    run(test())


def test_the_apis_own_election_sees_ours(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        async with Client(cluster.endpoints) as client, client.session(10) as session:
            async with session.election(name) as election:
                await election.campaign("a")
                request = api.election.LeaderRequest(name=name.encode())
                answer = await client.call(api.methods.ELECTION_LEADER, request)
                assert (answer.kv.key, answer.kv.value) == (election.key, b"a")
            assert await client.leader(name) is None

    run(test())


def test_a_deposed_leader_cannot_proclaim(cluster: Cluster) -> None:
    async def test() -> None:
        async with Client(cluster.endpoints) as client, client.session(10) as session:
            election = session.election(unique())
            await election.campaign("a")
            await client.delete(election.key)
            with pytest.raises(errors.SessionLostError):
                await election.proclaim("b")
            assert not election.held

    run(test())


def test_work_runs_while_leading(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        async with Client(cluster.endpoints) as client, client.session(10) as session:
            election = session.election(name)

            async def work(leading: Election) -> str:
                assert leading.held
                return "done"

            assert await election.run("a", work) == "done"
            assert await client.leader(name) is None

            cancelled: list[bool] = []

            async def endless(leading: Election) -> None:
                try:
                    await client.delete(leading.key)
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    cancelled.append(True)
                    raise

            with pytest.raises(errors.SessionLostError):
                await soon(election.run("b", endless))
            assert cancelled == [True]

    run(test())


def test_campaign_again_after_the_key_was_deleted(cluster: Cluster) -> None:
    async def test() -> None:
        name = unique()
        async with Client(cluster.endpoints) as client, client.session(10) as session:
            election = session.election(name)
            await election.campaign("1")
            token = election.token
            await client.delete(election.key)
            await soon(election.campaign("2"))
            assert election.held
            assert election.token > token
            same = session.election(name)
            await same.campaign("3")
            leader = await client.leader(name)
            assert leader is not None
            assert (leader.value, leader.token) == (b"3", election.token)

    run(test())


def test_a_leader_that_campaigns_ends_at_its_timeout(cluster: Cluster) -> None:
    async def test() -> None:
        async with Proxy(cluster.members[0].port) as proxy, Client([proxy.url]) as client:
            async with client.session(60) as session, session.election(unique()) as election:
                await election.campaign("1")
                proxy.hold()
                with pytest.raises(errors.MaybeHappenedError):
                    await asyncio.wait_for(election.campaign("2", timeout=0.3), 2)
                proxy.pass_on()
                await election.proclaim("3")

    run(test())
