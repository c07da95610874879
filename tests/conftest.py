"""Fixtures and settings for all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

from qgssl_fast import backend
from qgssl_fast.kernels import native

# Tests leave nothing behind; those of the cache say where it is.
os.environ["QGSSL_CACHE"] = "off"

# No deadline: the first example of a kernel compiles or loads it, and machines differ.
settings.register_profile("project", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("project")


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder with the real data sets: QGSSL_DATA, or one beside the checkout. Skips where there is none."""
    root = Path(os.environ.get("QGSSL_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not root.is_dir():
        pytest.skip(f"no real data at {root} (set QGSSL_DATA)")
    return root


def pytest_collection_modifyitems(items):
    """What is marked gpu is skipped where there is none."""
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture
def fresh_backends():
    """Backend choices and warnings as in a new process, before and after the test."""
    backend.reset()
    yield
    backend.reset()


# Small networks are faster on one thread than on two that contend, and a network's bits depend on their number.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def one_thread():
    """A test that sets another number of threads leaves none behind."""
    yield
    torch.set_num_threads(1)


@pytest.fixture(params=["baseline", "avx2", "avx512"])
def isa(request):
    """Each instruction set that the C++ kernels are built for and this processor has."""
    if request.param not in pytest.importorskip("qgssl_fast._C").isas():
        pytest.skip(f"this processor has no {request.param}")
    with native.using_isa(request.param):
        yield request.param
