"""Clusters that tests share. Those that a test harms are its own."""

from __future__ import annotations

from typing import Iterator

import pytest
from servers import Cluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """One member."""
    with Cluster() as cluster:
        yield cluster
