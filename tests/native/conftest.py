"""Builds C++ test libraries out of the sources that the package is built from."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CSRC = HERE.parents[1] / "csrc"


@pytest.fixture(scope="session")
def csrc() -> Path:
    if not CSRC.is_dir():
        pytest.skip("the C++ sources are not beside the tests")
    return CSRC


@pytest.fixture(scope="session")
def compiler() -> str:
    path = shutil.which("g++")
    if path is None:
        pytest.skip("g++ is not installed")
    return path


@pytest.fixture(scope="session")
def library(compiler: str, csrc: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], ctypes.CDLL]:
    """library("shuffled") compiles tests/native/shuffled.cpp, with the undefined behaviour sanitizer, and loads it."""

    def build(stem: str) -> ctypes.CDLL:
        target = tmp_path_factory.mktemp("native") / f"{stem}.so"
        flags = ["-std=c++17", "-O1", "-g", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror"]
        checks = ["-fsanitize=undefined", "-fsanitize-undefined-trap-on-error"]
        source = [str(HERE / f"{stem}.cpp"), "-I", str(HERE), "-DQG_NAMESPACE=qg_test"]
        subprocess.run([compiler, *flags, *checks, *source, "-o", str(target)], check=True)
        return ctypes.CDLL(str(target))

    return build
