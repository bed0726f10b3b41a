"""The operations on recipes."""

from __future__ import annotations

from typing import Any, Dict, List

from state import Request, State

from conclave_client import aio, ops
from conclave_client.types import Event

Result = Dict[str, Any]


def show_owner(event: aio.OwnerEvent) -> List[Result]:
    return [{"type": event.value}]


def opened(state: State, request: Request, owner: Any) -> Result:
    """Keeps a handle that is held now."""
    state.handles[request["as"]] = owner
    state.follow(request["as"], owner.events(), show_owner)
    return {"held": True, "token": owner.token, "key": owner.key.decode()}


async def mutex_lock(state: State, request: Request) -> Result:
    mutex = state.session(request).mutex(request["name"])
    if request.get("try"):
        if not await mutex.try_lock():
            return {"held": False}
    else:
        await mutex.lock(timeout=request.deadline)
    return opened(state, request, mutex)


async def mutex_state(state: State, request: Request) -> Result:
    mutex = state.handle(request, "mutex")
    return {"held": mutex.held, "token": mutex.token}


async def mutex_unlock(state: State, request: Request) -> Result:
    await state.handle(request, "mutex").unlock(timeout=request.deadline)
    return {}


async def mutex_contenders(state: State, request: Request) -> Result:
    kvs = await state.client(request).contenders(request["name"], timeout=request.deadline)
    return {"keys": [kv.key.decode() for kv in kvs]}


async def mutex_revoke(state: State, request: Request) -> Result:
    asked = await state.client(request).revoke(request["name"], timeout=request.deadline)
    return {"asked": asked}


async def campaign(state: State, request: Request) -> Result:
    election = state.session(request).election(request["name"])
    await election.campaign(request["value"], timeout=request.deadline)
    return opened(state, request, election)


async def proclaim(state: State, request: Request) -> Result:
    await state.handle(request, "election").proclaim(request["value"], timeout=request.deadline)
    return {}


async def resign(state: State, request: Request) -> Result:
    await state.handle(request, "election").resign(timeout=request.deadline)
    return {}


async def leader(state: State, request: Request) -> Result:
    found = await state.client(request).leader(request["name"], timeout=request.deadline)
    if found is None:
        return {"found": False, "value": "", "token": 0}
    return {"found": True, "value": found.value.decode(), "token": found.token}


def show_leader(leader: aio.Leader) -> List[Result]:
    return [{"type": "leader", "value": leader.value.decode(), "token": leader.token}]


async def observe(state: State, request: Request) -> Result:
    observer = await state.client(request).observe(request["name"])
    state.handles[request["as"]] = observer
    state.follow(request["as"], observer, show_leader)
    return {}


async def observe_close(state: State, request: Request) -> Result:
    await state.handle(request, "observe").close()
    return {}


async def election_contenders(state: State, request: Request) -> Result:
    kvs = await state.client(request).contenders(request["name"], timeout=request.deadline)
    return {"values": [kv.value.decode() for kv in kvs]}


async def owner_put(state: State, request: Request) -> Result:
    done = await state.client(request).txn(
        [ops.owner(request["owner"], request["token"])],
        [ops.put(request["key"], request["value"])],
        timeout=request.deadline,
    )
    return {"succeeded": done.succeeded}


async def rwlock(state: State, request: Request, side: str) -> Result:
    lock = getattr(state.session(request).rwlock(request["name"]), side)
    if request.get("try"):
        if not await lock.try_lock():
            return {"held": False}
    else:
        await lock.lock(timeout=request.deadline)
    return opened(state, request, lock)


async def rwlock_read(state: State, request: Request) -> Result:
    return await rwlock(state, request, "read")


async def rwlock_write(state: State, request: Request) -> Result:
    return await rwlock(state, request, "write")


async def rwlock_unlock(state: State, request: Request) -> Result:
    await state.handle(request, "rwlock").unlock(timeout=request.deadline)
    return {}


async def semaphore_acquire(state: State, request: Request) -> Result:
    semaphore = state.session(request).semaphore(request["name"], request["permits"])
    if request.get("try"):
        permit = await semaphore.try_acquire()
        if permit is None:
            return {"held": False}
    else:
        permit = await semaphore.acquire(timeout=request.deadline)
    return opened(state, request, permit)


async def semaphore_release(state: State, request: Request) -> Result:
    await state.handle(request, "semaphore").release(timeout=request.deadline)
    return {}


async def barrier_hold(state: State, request: Request) -> Result:
    await state.client(request).barrier(request["name"]).hold(timeout=request.deadline)
    return {}


async def barrier_release(state: State, request: Request) -> Result:
    await state.client(request).barrier(request["name"]).release(timeout=request.deadline)
    return {}


async def barrier_wait(state: State, request: Request) -> Result:
    await state.client(request).barrier(request["name"]).wait(timeout=request.deadline)
    return {}


async def double_barrier_enter(state: State, request: Request) -> Result:
    barrier = state.session(request).double_barrier(request["name"], request["count"])
    await barrier.enter(timeout=request.deadline)
    return {}


async def double_barrier_leave(state: State, request: Request) -> Result:
    barrier = state.session(request).double_barrier(request["name"], request["count"])
    await barrier.leave(timeout=request.deadline)
    return {}


async def latch_create(state: State, request: Request) -> Result:
    latch = state.client(request).latch(request["name"])
    return {"created": await latch.create(request["count"], timeout=request.deadline)}


async def latch_count_down(state: State, request: Request) -> Result:
    latch = state.client(request).latch(request["name"])
    return {"count": await latch.count_down(timeout=request.deadline)}


async def latch_wait(state: State, request: Request) -> Result:
    await state.client(request).latch(request["name"]).wait(timeout=request.deadline)
    return {}


async def queue_put(state: State, request: Request) -> Result:
    await (
        state.client(request)
        .queue(request["name"])
        .put(
            request["value"],
            priority=request.get("priority", 0),
            delay=request.get("delay", 0),
            timeout=request.deadline,
        )
    )
    return {}


async def queue_take(state: State, request: Request) -> Result:
    session = state.session(request)
    queue = session.client.queue(request["name"])
    item = await queue.take(session, timeout=request.deadline)
    state.handles[request["as"]] = item
    return {"value": item.value.decode()}


async def queue_ack(state: State, request: Request) -> Result:
    return {"done": await state.handle(request, "item").ack(timeout=request.deadline)}


async def queue_release(state: State, request: Request) -> Result:
    return {"done": await state.handle(request, "item").release(timeout=request.deadline)}


async def counter_add(state: State, request: Request) -> Result:
    counter = state.client(request).counter(request["name"])
    return {"value": await counter.add(request["delta"], timeout=request.deadline)}


async def counter_get(state: State, request: Request) -> Result:
    counter = state.client(request).counter(request["name"])
    return {"value": await counter.get(timeout=request.deadline)}


async def value_get(state: State, request: Request) -> Result:
    found = await state.client(request).value(request["name"]).get(timeout=request.deadline)
    if found is None:
        return {"found": False, "value": "", "revision": 0}
    return {"found": True, "value": found.value.decode(), "revision": found.revision}


async def value_compare_and_set(state: State, request: Request) -> Result:
    swap = (
        await state.client(request)
        .value(request["name"])
        .compare_and_set(request["revision"], request["value"], timeout=request.deadline)
    )
    return {"swapped": swap.swapped, "revision": swap.revision}


async def group_join(state: State, request: Request) -> Result:
    session = state.session(request)
    group = session.client.group(request["name"])
    state.handles[request["as"]] = await group.join(
        session, request["member"], request["value"], timeout=request.deadline
    )
    return {}


async def group_leave(state: State, request: Request) -> Result:
    await state.handle(request, "group").leave(timeout=request.deadline)
    return {}


async def group_members(state: State, request: Request) -> Result:
    members = await state.client(request).group(request["name"]).members(timeout=request.deadline)
    return {"members": {member: value.decode() for member, value in members.items()}}


async def service_register(state: State, request: Request) -> Result:
    session = state.session(request)
    service = session.client.service(request["service"])
    state.handles[request["as"]] = await service.register(
        session, request["address"], timeout=request.deadline
    )
    return {}


async def service_list(state: State, request: Request) -> Result:
    found = await state.client(request).service(request["service"]).list(timeout=request.deadline)
    return {"addresses": [address.address for address in found]}


def show_change(event: Event) -> List[Result]:
    return [{"type": event.type.value, "key": event.key.decode(), "value": event.value.decode()}]


async def cache_open(state: State, request: Request) -> Result:
    cache = await state.client(request).cache(request["prefix"], timeout=request.deadline)
    state.handles[request["as"]] = cache
    state.follow(request["as"], cache.events(), show_change)
    return {"revision": cache.revision}


async def cache_get(state: State, request: Request) -> Result:
    cache = state.handle(request, "cache")
    if request.get("at_least"):
        await cache.at_least(request["at_least"], timeout=request.deadline)
    kv = cache.get(request["key"])
    return {"found": kv is not None, "value": "" if kv is None else kv.value.decode()}


async def cache_list(state: State, request: Request) -> Result:
    kvs = state.handle(request, "cache").list()
    return {"kvs": {key.decode(): kv.value.decode() for key, kv in kvs.items()}}


async def cache_close(state: State, request: Request) -> Result:
    await state.handle(request, "cache").close()
    return {}


async def stm_transfer(state: State, request: Request) -> Result:
    async def transfer(txn: aio.Transaction) -> Result:
        source = int(await txn.get(request["from"]) or 0) - request["amount"]
        target = int(await txn.get(request["to"]) or 0) + request["amount"]
        txn.put(request["from"], str(source))
        txn.put(request["to"], str(target))
        return {"from": source, "to": target}

    return await state.client(request).stm(transfer, timeout=request.deadline)


async def once_run(state: State, request: Request) -> Result:
    async def work() -> str:
        value: str = request["value"]
        return value

    result = await state.session(request).once(request["name"], work, timeout=request.deadline)
    return {"value": result.value.decode(), "ran": result.ran}


RECIPES = {
    "mutex.lock": mutex_lock,
    "mutex.state": mutex_state,
    "mutex.unlock": mutex_unlock,
    "mutex.contenders": mutex_contenders,
    "mutex.revoke": mutex_revoke,
    "election.campaign": campaign,
    "election.proclaim": proclaim,
    "election.resign": resign,
    "election.leader": leader,
    "election.observe": observe,
    "election.contenders": election_contenders,
    "observe.close": observe_close,
    "owner.put": owner_put,
    "rwlock.read": rwlock_read,
    "rwlock.write": rwlock_write,
    "rwlock.unlock": rwlock_unlock,
    "semaphore.acquire": semaphore_acquire,
    "semaphore.release": semaphore_release,
    "barrier.hold": barrier_hold,
    "barrier.release": barrier_release,
    "barrier.wait": barrier_wait,
    "double_barrier.enter": double_barrier_enter,
    "double_barrier.leave": double_barrier_leave,
    "latch.create": latch_create,
    "latch.count_down": latch_count_down,
    "latch.wait": latch_wait,
    "queue.put": queue_put,
    "queue.take": queue_take,
    "queue.ack": queue_ack,
    "queue.release": queue_release,
    "counter.add": counter_add,
    "counter.get": counter_get,
    "value.get": value_get,
    "value.compare_and_set": value_compare_and_set,
    "group.join": group_join,
    "group.leave": group_leave,
    "group.members": group_members,
    "service.register": service_register,
    "service.list": service_list,
    "cache.open": cache_open,
    "cache.get": cache_get,
    "cache.list": cache_list,
    "cache.close": cache_close,
    "stm.transfer": stm_transfer,
    "once.run": once_run,
}
