"""Endpoints, and which of them take calls (C2).

in rotation ── connect fails, breaks, silent ──> out ── a probe is answered ──> in rotation
"""

from __future__ import annotations

import asyncio
from typing import Container, Sequence

from ._background import Background
from ._connection import Connection, Unreachable
from ._targets import Target

# Pauses between the probes of an endpoint that is out of the rotation.
_PROBE_PAUSE_MIN = 0.1
_PROBE_PAUSE_MAX = 5.0


class Endpoint:
    """One server of the cluster, with its present connection."""

    def __init__(self, target: Target, background: Background) -> None:
        self.url = target.url
        self.in_rotation = True
        self._target = target
        self._background = background
        self._connection: Connection | None = None
        self._connecting: asyncio.Task[Connection] | None = None
        self._prober: asyncio.Task[None] | None = None

    async def connection(self) -> Connection:
        """Returns a ready connection, or raises `Unreachable`. Calls share an attempt."""
        if self._connection is not None and self._connection.ready:
            return self._connection
        if self._connecting is None:
            self._connecting = self._background.spawn(self._connect(), f"connect to {self.url}")
        return await asyncio.shield(self._connecting)

    async def _connect(self) -> Connection:
        try:
            connection = await Connection.open(self._target, self._background)
        except Unreachable:
            self.leave()
            raise
        finally:
            self._connecting = None
        self._adopt(connection)
        return connection

    def leave(self) -> None:
        """Takes the endpoint out of the rotation, and probes it until it answers."""
        self.in_rotation = False
        if self._prober is None or self._prober.done():
            self._prober = self._background.spawn(self._probe(), f"probe {self.url}")

    async def _probe(self) -> None:
        pause = _PROBE_PAUSE_MIN
        while True:
            try:
                # A new connection, since a silent one may be dead and not yet known to be.
                connection = await Connection.open(self._target, self._background)
                try:
                    await connection.check()
                except BaseException:
                    connection.retire()
                    raise
            except Unreachable:
                await asyncio.sleep(pause)
                pause = min(2 * pause, _PROBE_PAUSE_MAX)
            else:
                self._prober = None
                self._adopt(connection)
                return

    def _adopt(self, connection: Connection) -> None:
        former, self._connection = self._connection, connection
        if former is not None:
            former.retire()
        if self._prober is not None:
            self._prober.cancel()
            self._prober = None
        self.in_rotation = True
        self._background.spawn(self._guard(connection), f"guard the connection to {self.url}")

    async def _guard(self, connection: Connection) -> None:
        """Replaces a connection that breaks, also if no call uses it."""
        try:
            await connection.until_broken()
        finally:
            connection.retire()
        if self._connection is connection:
            self._connection = None
            self.leave()

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()


class Rotation:
    """The endpoints of one client. Calls are spread over them in turn."""

    def __init__(self, targets: Sequence[Target], background: Background) -> None:
        self.endpoints = [Endpoint(target, background) for target in targets]
        self._turn = 0

    def next(self, tried: Container[Endpoint]) -> Endpoint | None:
        """Returns the next endpoint that is in the rotation and was not tried.

        If no endpoint is in the rotation, all are.
        """
        usable = [endpoint for endpoint in self.endpoints if endpoint.in_rotation]
        usable = usable or self.endpoints
        for _ in self.endpoints:
            endpoint = self.endpoints[self._turn % len(self.endpoints)]
            self._turn += 1
            if endpoint in usable and endpoint not in tried:
                return endpoint
        return None

    async def close(self) -> None:
        for endpoint in self.endpoints:
            await endpoint.close()
