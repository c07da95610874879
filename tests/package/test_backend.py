"""The choice of backends: what auto takes, what it says, and what cannot be asked for."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings

import pytest
import torch

from qgssl_fast import backend
from qgssl_fast.errors import InputError
from qgssl_fast.kernels import native
from qgssl_fast.ops import morph  # noqa: F401  registers its operations

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
pytestmark = pytest.mark.usefixtures("fresh_backends")


@pytest.fixture
def serving(monkeypatch):
    """serving("native", "reference") makes these backends the only ones that serve, and kernels of no matter."""

    def only(*names: str) -> None:
        monkeypatch.setattr(backend, "refusal", lambda name, device: None if name in names else f"no {name} here")
        monkeypatch.setattr(backend, "_load", lambda operation, name, device: name)

    return only


@pytest.mark.parametrize(
    ("device", "there", "taken"),
    [
        (CPU, ("cuda", "triton", "native", "reference"), "cuda"),
        (CPU, ("triton", "native", "reference"), "native"),
        (GPU, ("triton", "native", "reference"), "triton"),
        (GPU, ("native", "reference"), "native"),
        (GPU, ("reference",), "reference"),
    ],
)
def test_auto_takes_the_best(serving, device, there, taken):
    serving(*there)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert backend.choose("erode", device) == taken


def test_auto_says_once_what_is_slow(serving):
    serving("native", "reference")
    with pytest.warns(RuntimeWarning, match=r"through pinned memory \(cuda: no cuda here; triton: no triton here\)"):
        backend.choose("erode", GPU)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        backend.choose("dilate", GPU)
        backend.choose("erode", GPU, "native")
    serving("reference")
    with pytest.warns(RuntimeWarning, match=r"slow reference serves \(native: no native here\)"):
        backend.choose("opening", CPU)


def test_what_has_only_a_reference_needs_no_warning(serving):
    backend.register("example", stem="morph", backends=("reference",))
    serving("native", "reference")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert backend.choose("example", CPU) == "reference"
    with pytest.raises(
        InputError, match=r"^example: backend 'native' cannot serve on cpu: it does not have example; can: ref"
    ):
        backend.choose("example", CPU, "native")
    del backend._operations["example"]


def test_unknown_operation_is_told():
    with pytest.raises(InputError, match=r"no operation 'sharpen'; there are .*erode"):
        backend.choose("sharpen", CPU)


def test_registration_is_checked():
    with pytest.raises(ValueError, match="must be among"):
        backend.register("example", stem="example", backends=("native",))


def test_describe_has_a_reason_for_each_that_cannot():
    rows = {(row.backend, row.device): row for row in backend.describe()}
    assert rows["reference", "cpu"].serves
    for row in rows.values():
        assert bool(row.reason) != row.serves
        assert bool(row.detail) == row.serves


def test_through_host_brings_results_back():
    run = backend.through_host(lambda a, radius: (a + radius, 3))
    out, number = run(torch.ones(2), 4)
    assert (out.tolist(), number) == ([5.0, 5.0], 3)


def test_the_reference_serves_where_nothing_is_built():
    code = """
import sys, warnings
sys.modules["qgssl_fast._C"] = sys.modules["qgssl_fast._cuda"] = None
import torch
from qgssl_fast.ops import morph
masks = torch.ones(1, 3, 3, dtype=torch.uint8)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    morph.erode(masks, 1); morph.dilate(masks, 1)
print(len([w for w in caught if "slow reference" in str(w.message)]))
try:
    morph.erode(masks, 1, backend="native")
except ValueError as error:
    print(error)
"""
    env = {key: value for key, value in os.environ.items() if key != "QGSSL_ISA"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, cwd=os.sep, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    count, error = done.stdout.splitlines()
    assert count == "1"
    assert error.startswith("erode: backend 'native' cannot serve on cpu: qgssl_fast._C is not built")


def test_module_that_is_not_built_says_so():
    assert native.refusal() is None or "qgssl_fast._C" in native.refusal()
