"""The README's code and the examples run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import List

import pytest
from servers import Cluster
from support import DEADLINE

ROOT = Path(__file__).parent.parent
# `build.sh` names an environment with the packed client here.
PYTHON = os.environ.get("CONCLAVE_PYTHON", sys.executable)
EXAMPLES = sorted(path.stem for path in (ROOT / "examples").glob("*.py"))


def blocks() -> List[str]:
    """Returns the code of the README, but for TLS, which needs files."""
    found = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    return [block for block in found if "https://" not in block]


def run_python(code: List[str], cluster: Cluster) -> str:
    environ = {**os.environ, "ETCDCTL_ENDPOINTS": ",".join(cluster.endpoints)}
    done = subprocess.run(
        [PYTHON, *code],
        env=environ,
        capture_output=True,
        timeout=2 * DEADLINE,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stderr == b""
    return done.stdout.decode()


def test_readme(cluster: Cluster) -> None:
    expected = [
        "b'hello again'",
        "held with token",
        "given up, and nothing is left of it",
    ]
    code = blocks()
    assert len(code) == len(expected)
    for block, wanted in zip(code, expected):
        printed = run_python(
            ["-c", block.replace("http://127.0.0.1:2379", cluster.endpoints[0])], cluster
        )
        assert wanted in printed


def test_there_is_an_example_of_each_recipe() -> None:
    names = (
        "session mutex rwlock semaphore election barrier double_barrier latch queue counter "
        "value group discovery cache stm once watch"
    )
    # A program `queue.py` would take the place of the standard library's module.
    assert sorted(names.split()) == [name.rstrip("_") for name in EXAMPLES]


@pytest.mark.parametrize("name", EXAMPLES)
def test_example(name: str, cluster: Cluster) -> None:
    assert run_python([str(ROOT / "examples" / f"{name}.py")], cluster) != ""
