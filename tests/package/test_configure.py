"""What the build does about CUDA, without building: CMake's configuration under good, broken and unwanted compilers."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def configure(tmp_path):
    pybind11 = pytest.importorskip("pybind11", reason="pybind11 is not installed")
    for tool in ("cmake", "ninja", "g++"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    if not (ROOT / "CMakeLists.txt").is_file():
        pytest.skip("the sources are not beside the tests")

    def run(cuda: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = ["cmake", "-S", str(ROOT), "-B", str(tmp_path / "build"), "-G", "Ninja", f"-DQGSSL_CUDA={cuda}"]
        command += [f"-DPython_EXECUTABLE={sys.executable}", f"-Dpybind11_DIR={pybind11.get_cmake_dir()}"]
        env = {**os.environ, **environment}
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)

    return run


@pytest.fixture
def broken_nvcc(tmp_path) -> Path:
    script = tmp_path / "bin" / "nvcc"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\necho broken >&2\nexit 1\n")
    script.chmod(script.stat().st_mode | stat.S_IEXEC)
    return script


def test_auto_goes_on_without_a_working_nvcc(configure, broken_nvcc):
    done = configure("AUTO", CUDACXX=str(broken_nvcc))
    assert done.returncode == 0, done.stderr
    assert "qgssl_fast: no CUDA kernels: nvcc does not work" in done.stdout


def test_auto_goes_on_where_the_first_nvcc_on_the_path_is_broken(configure, broken_nvcc):
    path = f"{broken_nvcc.parent}{os.pathsep}{os.environ['PATH']}"
    done = configure("AUTO", PATH=path, CUDA_HOME="", CUDA_PATH="")
    assert done.returncode == 0, done.stderr
    assert "qgssl_fast: no CUDA kernels: nvcc does not work" in done.stdout


def test_on_fails_without_a_working_nvcc(configure, broken_nvcc):
    done = configure("ON", CUDACXX=str(broken_nvcc))
    assert done.returncode != 0
    assert "QGSSL_CUDA=ON, but nvcc does not work" in " ".join(done.stderr.split())


def test_off_asks_no_nvcc(configure, broken_nvcc):
    done = configure("OFF", CUDACXX=str(broken_nvcc))
    assert done.returncode == 0, done.stderr
    assert "no CUDA kernels: built with QGSSL_CUDA=OFF" in done.stdout


def test_other_values_are_refused(configure):
    done = configure("MAYBE")
    assert done.returncode != 0
    assert "QGSSL_CUDA must be AUTO, ON or OFF, got 'MAYBE'" in " ".join(done.stderr.split())
