"""TLS and sockets of the file system (C1, C5)."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

import pytest
from servers import Cluster
from support import run, unique, until

from conclave_client import Tls, errors
from conclave_client.aio import Client


def openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


@dataclass
class Authority:
    """An authority that makes certificates."""

    folder: Path

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    def create(self) -> None:
        self.folder.mkdir()
        self._request("ca", "-x509", "-days", "1", "-out", str(self.ca))

    def issue(self, name: str) -> tuple[Path, Path]:
        """Makes a certificate for 127.0.0.1 and localhost, and its key."""
        cert, request = self.folder / f"{name}.pem", self.folder / f"{name}.csr"
        self._request(name, "-out", str(request))
        names = self.folder / "names"
        names.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost")
        openssl(
            *("x509", "-req", "-days", "1", "-in", str(request), "-extfile", str(names)),
            *("-CA", str(self.ca), "-CAkey", str(self.folder / "ca.key")),
            *("-CAcreateserial", "-out", str(cert)),
        )
        return cert, self.folder / f"{name}.key"

    def _request(self, name: str, *arguments: str) -> None:
        key = self.folder / f"{name}.key"
        openssl(
            *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", str(key), "-subj", f"/CN={name}", *arguments),
        )


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    authority = Authority(tmp_path_factory.mktemp("tls") / "authority")
    authority.create()
    return authority


@pytest.fixture(scope="module")
def secure_cluster(authority: Authority) -> Iterator[Cluster]:
    """A cluster that wants certificates of its clients."""
    cert, key = authority.issue("server")
    with Cluster(
        1,
        f"--cert-file={cert}",
        f"--key-file={key}",
        f"--trusted-ca-file={authority.ca}",
        "--client-cert-auth",
    ) as cluster:
        yield cluster


def test_both_sides_have_certificates(secure_cluster: Cluster, authority: Authority) -> None:
    async def test() -> None:
        cert, key = authority.issue("client")
        # Also as host:port, which is https if TLS is configured.
        bare = secure_cluster.endpoints[0].replace("https://", "")
        for url in (secure_cluster.endpoints[0], bare):
            async with Client([url], tls=Tls(authority.ca, cert, key)) as client:
                await client.put(unique(), "1")
        # The certificate is not for this name.
        tls = Tls(authority.ca, cert, key, server_name="other.example")
        async with Client(secure_cluster.endpoints, tls=tls) as client:
            with pytest.raises(errors.UnavailableError):
                await client.get("a", timeout=0.5)

    run(test())


def test_without_a_certificate_or_trust(
    secure_cluster: Cluster, authority: Authority, tmp_path: Path
) -> None:
    async def test() -> None:
        other = Authority(tmp_path / "other")
        other.create()
        for tls in (Tls(authority.ca), Tls(other.ca, *authority.issue("client2"))):
            async with Client(secure_cluster.endpoints, tls=tls) as client:
                with pytest.raises(errors.UnavailableError):
                    await client.get("a", timeout=0.5)

    run(test())


def test_files_are_read_for_every_connection(
    secure_cluster: Cluster, authority: Authority, tmp_path: Path
) -> None:
    async def test() -> None:
        cert, key = authority.issue("renewed")
        other = Authority(tmp_path / "other")
        other.create()
        wrong_cert, wrong_key = other.issue("client")
        used_cert, used_key = tmp_path / "cert.pem", tmp_path / "cert.key"
        used_cert.write_bytes(wrong_cert.read_bytes())
        used_key.write_bytes(wrong_key.read_bytes())
        tls = Tls(authority.ca, used_cert, used_key)
        async with Client(secure_cluster.endpoints, tls=tls) as client:
            with pytest.raises(errors.UnavailableError):
                await client.get("a", timeout=0.5)
            used_cert.write_bytes(cert.read_bytes())
            used_key.write_bytes(key.read_bytes())
            await client.get("a", timeout=10)
            # Half of the next pair: the former one is used.
            used_key.write_text("not yet written")
            endpoint = client._started().rotation.endpoints[0]
            connection = endpoint._connection
            assert connection is not None
            await connection.close()
            await client.get("a", timeout=10)
            await until(lambda: endpoint.in_rotation, "connected again")

    run(test())


def test_a_socket_of_the_file_system(tmp_path: Path) -> None:
    async def test(url: str) -> None:
        async with Client([url]) as client:
            await client.put("a", "1", timeout=10)

    # Short, since the system allows about 100 characters.
    url = f"unix://{tmp_path}/s"
    with Cluster(1, also=[url]):
        run(test(url))
