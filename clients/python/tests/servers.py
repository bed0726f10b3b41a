"""Real servers for tests: the `conclave` binary named by CONCLAVE_BIN, on free ports."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Optional, Sequence

DEADLINE = 20.0


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class Member:
    """One server process, which can be stopped, continued, killed and started again."""

    def __init__(self, command: Sequence[str], url: str, log: Path) -> None:
        self.url = url
        self._command = command
        self._log = log
        self._process: Optional[subprocess.Popen[bytes]] = None

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)

    def wait_until_listening(self) -> None:
        give_up = time.monotonic() + DEADLINE
        while time.monotonic() < give_up:
            with socket.socket() as probe:
                probe.settimeout(1)
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self._process is not None
            assert self._process.poll() is None, self._log.read_text()
            time.sleep(0.02)
        raise AssertionError(self._log.read_text())

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> None:
        """Stops the process without ending it: its connections stay, and nothing is answered."""
        self.signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class Cluster:
    """One member or several."""

    def __init__(self, size: int = 1, *flags: str, also: Sequence[str] = ()) -> None:
        binary = os.environ.get("CONCLAVE_BIN", "conclave")
        self._folder = tempfile.TemporaryDirectory(prefix="conclave-python-")
        folder = Path(self._folder.name)
        scheme = "https" if any(flag.startswith("--cert-file") for flag in flags) else "http"
        names = [f"m{n}" for n in range(size)]
        peers = [f"http://127.0.0.1:{free_port()}" for _ in names]
        initial = ",".join(f"{name}={peer}" for name, peer in zip(names, peers))
        self.members = []
        for name, peer in zip(names, peers):
            url = f"{scheme}://127.0.0.1:{free_port()}"
            command = [
                binary,
                f"--name={name}",
                f"--data-dir={folder / name}",
                f"--listen-client-urls={','.join([url, *also])}",
                f"--advertise-client-urls={url}",
                f"--listen-peer-urls={peer}",
                f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster={initial}",
                "--bcrypt-cost=4",
                *flags,
            ]
            self.members.append(Member(command, url, folder / f"{name}.log"))

    @property
    def endpoints(self) -> list[str]:
        return [member.url for member in self.members]

    def __enter__(self) -> Cluster:
        for member in self.members:
            member.start()
        for member in self.members:
            member.wait_until_listening()
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        for member in self.members:
            member.kill()
        self._folder.cleanup()
