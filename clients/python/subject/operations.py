"""The operations of the subject."""

from __future__ import annotations

import math
from typing import Any, Dict, List

from recipes import RECIPES
from state import Request, State

from conclave_client import Tls, aio, ops
from conclave_client.types import Batch, GetResult, KeyValue

Result = Dict[str, Any]


async def client_open(state: State, request: Request) -> Result:
    tls = None
    if request.get("cacert"):
        tls = Tls(request["cacert"], request.get("cert"), request.get("key"))
    state.clients[request["as"]] = aio.Client(
        request["endpoints"],
        tls=tls,
        user=request.get("user"),
        password=request.get("password") or "",
        timeout=request.get("timeout") or 5.0,
    )
    return {}


async def client_close(state: State, request: Request) -> Result:
    await state.client(request).close()
    return {}


async def leftovers(state: State, request: Request) -> Result:
    what = state.leftovers()
    return {"count": len(what), "what": what}


async def cancel(state: State, request: Request) -> Result:
    work = state.requests.get(request["id"])
    if work is not None:
        work.cancel()
    return {}


def lease_id(text: Any) -> int:
    return int(text, 16) if text else 0


async def put(state: State, request: Request) -> Result:
    result = await state.client(request).put(
        request["key"],
        request["value"],
        lease=lease_id(request.get("lease")),
        timeout=request.deadline,
    )
    return {"revision": result.revision}


def show_get(result: GetResult) -> Result:
    kv = result.kv
    return {
        "found": kv is not None,
        "value": "" if kv is None else kv.value.decode(),
        "create_revision": 0 if kv is None else kv.create_revision,
        "mod_revision": 0 if kv is None else kv.mod_revision,
        "revision": result.revision,
    }


async def get(state: State, request: Request) -> Result:
    result = await state.client(request).get(
        request["key"],
        serializable=request.get("serializable", False),
        revision=request.get("revision", 0),
        timeout=request.deadline,
    )
    return show_get(result)


def show_kv(kv: KeyValue) -> Result:
    return {
        "key": kv.key.decode(),
        "value": kv.value.decode(),
        "create_revision": kv.create_revision,
        "mod_revision": kv.mod_revision,
    }


async def list_(state: State, request: Request) -> Result:
    result = await state.client(request).list(request["prefix"], timeout=request.deadline)
    return {"kvs": [show_kv(kv) for kv in result.kvs], "revision": result.revision}


async def delete(state: State, request: Request) -> Result:
    result = await state.client(request).delete(request["key"], timeout=request.deadline)
    return {"deleted": result.deleted, "revision": result.revision}


async def delete_prefix(state: State, request: Request) -> Result:
    result = await state.client(request).delete(
        request["prefix"], prefix=True, timeout=request.deadline
    )
    return {"deleted": result.deleted, "revision": result.revision}


def txn_ops(steps: List[Result]) -> List[Any]:
    made = []
    for step in steps:
        if "put" in step:
            made.append(ops.put(step["put"]["key"], step["put"]["value"]))
        elif "delete" in step:
            made.append(ops.delete(step["delete"]["key"]))
        else:
            made.append(ops.get(step["get"]["key"]))
    return made


async def txn(state: State, request: Request) -> Result:
    compares = [
        ops.compare(c["key"], c["target"], c["is"], c["than"]) for c in request.get("if", [])
    ]
    result = await state.client(request).txn(
        compares,
        txn_ops(request.get("then", [])),
        txn_ops(request.get("else", [])),
        timeout=request.deadline,
    )
    return {"succeeded": result.succeeded, "revision": result.revision}


async def compact(state: State, request: Request) -> Result:
    await state.client(request).compact(request["revision"], timeout=request.deadline)
    return {}


def show_batch(batch: Batch) -> List[Result]:
    return [
        {
            "type": event.type.value,
            "key": event.key.decode(),
            "value": event.value.decode(),
            "revision": event.revision,
        }
        for event in batch.events
    ]


async def watch_open(state: State, request: Request) -> Result:
    prefix = request.get("prefix")
    watch = await state.client(request).watch(
        request["key"] if prefix is None else prefix,
        prefix=prefix is not None,
        revision=request.get("from", 0),
        timeout=request.deadline,
    )
    state.handles[request["as"]] = watch
    state.follow(request["as"], watch, show_batch, end=True)
    return {"revision": watch.revision}


async def close_watch(state: State, request: Request) -> Result:
    await state.handle(request, "watch").close()
    return {}


async def session_open(state: State, request: Request) -> Result:
    ttl = request["ttl"]
    # The API has whole seconds.
    ttl = math.ceil(ttl) if isinstance(ttl, float) else ttl
    session = await state.client(request).session(ttl, timeout=request.deadline)
    state.sessions[request["as"]] = session
    state.follow(
        request["as"],
        session.states(),
        lambda session_state: [{"type": "state", "state": session_state.value}],
    )
    return {"lease": session.lease_hex}


async def session_state(state: State, request: Request) -> Result:
    return {"state": state.session(request).state.value}


async def session_close(state: State, request: Request) -> Result:
    await state.session(request).close()
    return {}


ALL = {
    "client.open": client_open,
    "client.close": client_close,
    "leftovers": leftovers,
    "cancel": cancel,
    "put": put,
    "get": get,
    "list": list_,
    "delete": delete,
    "delete_prefix": delete_prefix,
    "txn": txn,
    "compact": compact,
    "watch.open": watch_open,
    "watch.close": close_watch,
    "session.open": session_open,
    "session.state": session_state,
    "session.close": session_close,
    **RECIPES,
}
