"""Endpoints, TLS files and the environment (C1, C4)."""

from __future__ import annotations

from pathlib import Path
from typing import Mapping, Optional

import pytest

from conclave_client import Tls, errors
from conclave_client._environment import options_from_env
from conclave_client._targets import parse_endpoints
from conclave_client.aio import Client


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://10.0.0.1:2379", "dns:///10.0.0.1:2379"),
        ("host.example:1", "dns:///host.example:1"),
        ("http://[::1]:2379", "dns:///[::1]:2379"),
        ("http://[fe80::1%eth0]:2379", "dns:///[fe80::1%25eth0]:2379"),
        ("unix:///run/conclave.sock", "unix:///run/conclave.sock"),
        ("unix:///run/a%20?#b.sock", "unix:///run/a%2520%3F%23b.sock"),
        ("unix:///" + 106 * "a", "unix:///" + 106 * "a"),
        (" HTTP://10.0.0.1:2379/ ", "dns:///10.0.0.1:2379"),
        ("host.example:1/", "dns:///host.example:1"),
        ("\tUnix:///run/conclave.sock/\n", "unix:///run/conclave.sock"),
    ],
)
def test_forms(url: str, address: str) -> None:
    (target,) = parse_endpoints(url, None)
    assert target.address == address
    assert target.tls is None


def test_several_in_one_string() -> None:
    targets = parse_endpoints("http://a:1, http://b:2,HTTP://a:1/,a:1", None)
    assert [target.url for target in targets] == ["http://a:1", "http://b:2"]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://",
        "http://host",
        "http://host:0",
        "http://host:65536",
        "http://host:port",
        "http://host:1/path",
        "http://host:1//",
        "host:1,",
        "   ",
        "http://user@host:1",
        "ftp://host:1",
        "unix://relative",
        "unix:///",
        "ho st:1",
        "http://%zz:1",
        "http://a,b:1",
        "http://a\0:1",
        "http://host:\u0661",
        "http://[\u0661::1]:1",
        "http://[:::]:1",
        "http://[1.2.3.4]:1",
        "unix:///a\0b",
        "unix:///" + 107 * "a",
        "unix:///" + 60 * "\xe9",
    ],
)
def test_other_forms_are_errors_that_name_the_endpoint(url: str) -> None:
    with pytest.raises(errors.InvalidError) as caught:
        Client([url])
    assert repr(url) in str(caught.value)


def test_no_endpoint() -> None:
    with pytest.raises(errors.InvalidError, match="no endpoint"):
        Client([])


@pytest.mark.parametrize("url", ["https://host:1", "unixs:///path"])
def test_tls_needs_trust(url: str) -> None:
    with pytest.raises(errors.InvalidError, match="needs the CA"):
        Client([url])


def test_tls_files_are_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing.pem"
    with pytest.raises(errors.InvalidError, match=r"missing\.pem"):
        Client(["host:1"], tls=Tls(missing))
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    with pytest.raises(errors.InvalidError, match=r"wrong\.pem"):
        Client(["host:1"], tls=Tls(wrong))
    with pytest.raises(errors.InvalidError, match="both"):
        Client(["host:1"], tls=Tls(wrong, cert=wrong))


def test_environment() -> None:
    options = options_from_env(
        {
            "ETCDCTL_ENDPOINTS": "http://a:1,http://b:2",
            "ETCDCTL_USER": "alice:a:b",
            "ETCDCTL_COMMAND_TIMEOUT": "1m1.5s",
        }
    )
    assert options == {
        "endpoints": "http://a:1,http://b:2",
        "user": "alice",
        "password": "a:b",
        "timeout": 61.5,
    }
    assert options_from_env({}) == {}
    named = options_from_env({"ETCDCTL_USER": "alice", "ETCDCTL_PASSWORD": "secret"})
    assert named["password"] == "secret"
    tls = options_from_env({"ETCDCTL_CACERT": "ca", "ETCDCTL_CERT": "cert", "ETCDCTL_KEY": "key"})
    assert tls == {"tls": Tls("ca", "cert", "key")}


@pytest.mark.parametrize(
    "environ",
    [
        {"ETCDCTL_INSECURE_SKIP_TLS_VERIFY": "true"},
        {"ETCDCTL_CERT": "cert"},
        {"ETCDCTL_ENDPOINTS": "ftp://ETCDCTL_"},
    ],
)
def test_bad_environment(environ: Mapping[str, str]) -> None:
    with pytest.raises(errors.InvalidError, match="ETCDCTL_"):
        Client.from_env(environ)


def test_empty_variables_are_not_set() -> None:
    names = "ENDPOINTS CACERT CERT KEY USER PASSWORD COMMAND_TIMEOUT INSECURE_SKIP_TLS_VERIFY"
    assert options_from_env({f"ETCDCTL_{name}": "" for name in names.split()}) == {}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5s", 5),
        ("250ms", 0.25),
        ("1h", 3600),
        ("1m30s", 90),
        ("1.5s", 1.5),
        (".5s", 0.5),
        ("1.s", 1),
        ("7us", 7e-6),
        ("7µs", 7e-6),
        ("2ns", 2e-9),
        *((bad, None) for bad in ("5", "0", "0s", "-5s", "5 s", " 5s", "s", ".s", "5x", "5s5")),
        *((bad, None) for bad in ("soon", "1d", "5S", "\u0665s", "1,5s", "5s\n", "infs")),
    ],
)
def test_durations(text: str, seconds: Optional[float]) -> None:
    if seconds is not None:
        assert options_from_env({"ETCDCTL_COMMAND_TIMEOUT": text}) == {"timeout": seconds}
        return
    with pytest.raises(errors.InvalidError, match="ETCDCTL_COMMAND_TIMEOUT"):
        Client.from_env({"ETCDCTL_COMMAND_TIMEOUT": text})


@pytest.mark.parametrize("timeout", [0, -1, "5", None])
def test_bad_timeout(timeout: float) -> None:
    with pytest.raises(errors.InvalidError, match="timeout"):
        Client(["host:1"], timeout=timeout)


def test_the_password_is_not_printed() -> None:
    client = Client(["host:1"], user="alice", password="secret")
    assert "secret" not in repr(client) + repr(vars(client))
