"""The conformance subject speaks the driver's protocol."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest
from servers import Cluster
from support import DEADLINE, unique

MAIN = Path(__file__).parent.parent / "subject" / "main.py"


class Subject:
    """A subject process, as the driver sees it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(MAIN)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._replies: queue.Queue[Dict[str, Any]] = queue.Queue()
        self._kept: List[Dict[str, Any]] = []
        self._number = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._replies.put(json.loads(line))

    def send(self, op: str, **args: Any) -> int:
        self._number += 1
        request = {"id": self._number, "op": op, "args": args}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        return self._number

    def _next(self, **wanted: Any) -> Dict[str, Any]:
        for message in self._kept:
            if all(message.get(name) == value for name, value in wanted.items()):
                self._kept.remove(message)
                return message
        while True:
            message = self._replies.get(timeout=DEADLINE)
            if all(message.get(name) == value for name, value in wanted.items()):
                return message
            self._kept.append(message)

    def reply(self, number: int) -> Dict[str, Any]:
        return self._next(id=number)

    def ok(self, op: str, **args: Any) -> Any:
        return self.reply(self.send(op, **args))["ok"]

    def event(self, name: str) -> Any:
        return self._next(on=name)["event"]

    def end(self) -> int:
        assert self._process.stdin is not None
        self._process.stdin.close()
        return self._process.wait(DEADLINE)

    def kill(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.kill()
        self._process.wait()
        self._reader.join(DEADLINE)
        self._process.stdin.close()
        self._process.stdout.close()


@pytest.fixture
def subject(cluster: Cluster) -> Iterator[Subject]:
    subject = Subject()
    try:
        subject.ok("client.open", **{"as": "c"}, endpoints=cluster.endpoints)
        yield subject
    finally:
        subject.kill()


def test_calls_and_watches(subject: Subject) -> None:
    key = unique()
    assert subject.ok("get", client="c", key=key)["found"] is False
    subject.ok("watch.open", **{"as": "w"}, client="c", key=key)
    revision = subject.ok("put", client="c", key=key, value="1")["revision"]
    assert subject.event("w") == {"type": "put", "key": key, "value": "1", "revision": revision}
    subject.ok("watch.close", watch="w")
    assert subject.event("w") == {"type": "end"}
    assert subject.ok("list", client="c", prefix=key)["kvs"][0]["mod_revision"] == revision
    done = subject.ok(
        "txn",
        client="c",
        **{
            "if": [{"key": key, "target": "value", "is": "=", "than": "1"}],
            "then": [{"put": {"key": key, "value": "2"}}],
            "else": [],
        },
    )
    assert done["succeeded"] is True
    assert subject.ok("delete_prefix", client="c", prefix=key)["deleted"] == 1


def test_recipes_cancellation_and_the_end(subject: Subject) -> None:
    name = unique()
    lease = subject.ok("session.open", **{"as": "s"}, client="c", ttl=10)["lease"]
    assert subject.event("s") == {"type": "state", "state": "CONNECTED"}
    locked = subject.ok("mutex.lock", **{"as": "m"}, session="s", name=name)
    assert locked["key"] == f"{name}/{lease}"
    subject.ok("session.open", **{"as": "s2"}, client="c", ttl=10)
    taken = subject.ok("mutex.lock", **{"as": "m2", "try": True}, session="s2", name=name)
    assert taken == {"held": False}
    waiting = subject.send("mutex.lock", **{"as": "m2"}, session="s2", name=name)
    while len(subject.ok("mutex.contenders", client="c", name=name)["keys"]) < 2:
        pass
    subject.ok("cancel", id=waiting)
    assert subject.reply(waiting)["error"]["kind"] == "cancelled"
    assert len(subject.ok("mutex.contenders", client="c", name=name)["keys"]) == 1
    late = subject.send("mutex.lock", **{"as": "m2"}, session="s2", name=name, deadline=0.1)
    assert subject.reply(late)["error"]["kind"] == "deadline"
    subject.ok("mutex.revoke", client="c", name=name)
    assert subject.event("m") == {"type": "revoke"}
    put = {"owner": locked["key"], "token": locked["token"], "key": unique(), "value": "1"}
    assert subject.ok("owner.put", client="c", **put)["succeeded"] is True
    subject.ok("mutex.unlock", mutex="m")
    assert subject.ok("owner.put", client="c", **put)["succeeded"] is False
    assert subject.reply(subject.send("no.such"))["error"]["kind"] == "unsupported"
    assert subject.reply(subject.send("get", client="x", key="a"))["error"]["kind"] == "invalid"
    subject.ok("client.close", client="c")
    assert subject.ok("leftovers") == {"count": 0, "what": []}
    assert subject.end() == 0
