"""The bounds that core/floats.h states, over floats of the whole range, on every instruction set that runs here."""

from __future__ import annotations

import ctypes
import re
import subprocess

import numpy as np
import pytest

from qgssl_fast.kernels import native

_C = pytest.importorskip("qgssl_fast._C", reason="the C++ module is not built")
SMALLEST = 1.1754944e-38  # normal


def floats(least: float, most: float, step: int = 4099) -> np.ndarray:
    """Every step-th float from least to most, both above 0, and the next to either end."""
    first, last = (int(np.float32(x).view(np.uint32)) for x in (least, most))
    bits = np.unique(np.r_[first : first + 64, first:last:step, last - 64 : last + 1])
    return bits[: len(bits) // 16 * 16].astype(np.uint32).view(np.float32)


FUNCTIONS = {
    "exp_of_all": (-floats(1e-12, 87.33), np.exp, 1.125),
    "log1p_of_all": (floats(SMALLEST, 1.0), np.log1p, 2.5),
    "log_of_all": (floats(SMALLEST, 3e38), np.log, 1),
    "sigmoid_of_all": (
        np.concatenate([floats(1e-12, 1e4), -floats(1e-12, 87.0)]),
        lambda x: np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x))),
        3,
    ),
    "flat_sigmoid_of_all": (
        np.concatenate([floats(1e-12, 1e4), -floats(1e-12, 87.0)]),
        lambda x: np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x))),
        3,
    ),
    "slope_of_all": (floats(1e-12, 87.0), lambda x: np.exp(-x) / (1 + np.exp(-x)) ** 2, 5),
}


@pytest.fixture(scope="module", params=native.cpu().isas())
def built(request, compiler, csrc, tmp_path_factory):
    target = tmp_path_factory.mktemp("floats") / f"{request.param}.so"
    flags = ["-std=c++17", "-O2", "-shared", "-fPIC", "-ffp-contract=off", "-Wno-psabi", "-DQG_NAMESPACE=qg_test"]
    source = [str(csrc.parent / "tests/native/floats.cpp"), "-o", str(target)]
    sets = re.findall(r"^ *qgssl_isa\((\w+) ?([^)]*)\)", (csrc.parent / "CMakeLists.txt").read_text(), re.MULTILINE)
    subprocess.run([compiler, *flags, *dict(sets)[request.param].split(), *source], check=True)
    return ctypes.CDLL(str(target))


def run(built, name: str, x: np.ndarray) -> np.ndarray:
    y = np.empty_like(x)
    pointers = (ctypes.c_void_p(x.ctypes.data), ctypes.c_void_p(y.ctypes.data))
    getattr(built, name)(*pointers, ctypes.c_int64(len(x)))
    return y


@pytest.mark.parametrize("name", FUNCTIONS)
def test_error_in_units_in_the_last_place(built, name):
    x, exact, bound = FUNCTIONS[name]
    wanted = exact(x.astype(np.float64))
    unit = np.spacing(np.maximum(np.abs(wanted), SMALLEST).astype(np.float32)).astype(np.float64)
    error = np.abs(run(built, name, np.ascontiguousarray(x)) - wanted) / unit
    assert error.max() <= bound, (x[error.argmax()], error.max())


def test_ends_of_the_range(built):
    x = np.array([0.0, -0.0, -87.34, -1e4, -np.inf, np.nan], np.float32).repeat(16)
    assert np.array_equal(run(built, "exp_of_all", x)[::16], np.float32([1, 1, 0, 0, 0, np.nan]), equal_nan=True)
    x = np.array([0.0, 1e4, -1e4, np.inf, -np.inf, np.nan], np.float32).repeat(16)
    for name in ("sigmoid_of_all", "flat_sigmoid_of_all"):
        assert np.array_equal(run(built, name, x)[::16], np.float32([0.5, 1, 0, 1, 0, np.nan]), equal_nan=True)
    assert np.array_equal(run(built, "slope_of_all", x)[::16], np.float32([0.25, 0, 0, 0, 0, np.nan]), equal_nan=True)
