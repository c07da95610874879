"""The CUDA sources by a run-time compiler: one text a kernel, compiled without a driver, launched through CuPy."""

from __future__ import annotations

import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from qgssl_fast import backend
from qgssl_fast.errors import InputError
from qgssl_fast.kernels import cuda, native
from qgssl_fast.kernels.cuda import nvrtc, source

HERE = Path(__file__).parent
KERNELS = [pytest.param(name, marks=pytest.mark.slow if name == "qg_corrupt" else ()) for name in source.FILES]


@pytest.mark.parametrize("kernel", source.FILES)
def test_a_text_holds_all_that_it_includes(kernel):
    text = source.text_of(kernel)
    assert f" {kernel}(" in text
    assert '#include "' not in text
    assert text.count("struct Work {") == 1
    assert "swapcontext" not in text  # what only the run on a CPU has


@pytest.mark.parametrize("architecture", ["80", "90"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_compiles_without_a_driver(kernel, architecture):
    pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-bindings is not installed (extra: nvrtc)")
    options = [*source.OPTIONS, f"--gpu-architecture=sm_{architecture}"]
    command = [sys.executable, str(HERE / "nvrtc.py"), kernel, *options]
    done = subprocess.run(command, input=source.text_of(kernel), capture_output=True, text=True, timeout=600)
    if "libnvrtc" in done.stderr:
        pytest.skip("NVRTC is not installed (extra: nvrtc)")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 1000


class Cupy:
    """As much of CuPy as the launcher asks of it; kernels are kept with what they were given."""

    __version__ = "14.0"

    def __init__(self) -> None:
        self.compiled: list[tuple[str, tuple[str, ...]]] = []
        self.calls: list[tuple] = []
        attributes = {
            "MultiProcessorCount": 3,
            "MaxSharedMemoryPerBlockOptin": 7,
            "MaxSharedMemoryPerMultiprocessor": 8,
        }

        class Device(nullcontext):
            def __init__(self, index):
                super().__init__()
                self.attributes = attributes

        runtime = SimpleNamespace(runtimeGetVersion=lambda: 13000)
        self.cuda = SimpleNamespace(
            Device=Device,
            ExternalStream=lambda pointer, index: nullcontext(),
            nvrtc=SimpleNamespace(getVersion=lambda: (13, 0)),
            runtime=runtime,
        )

    def RawModule(self, code, options):
        self.compiled.append((code, options))
        return SimpleNamespace(get_function=lambda name: Kernel(name, self.calls))


class Kernel:
    def __init__(self, name, calls):
        self.name, self.calls, self.max_dynamic_shared_size_bytes = name, calls, 0

    def __call__(self, grid, block, parameters, shared_mem):
        assert shared_mem <= max(self.max_dynamic_shared_size_bytes, 48 << 10)
        self.calls.append((self.name, grid, block, [p.tobytes() for p in parameters], shared_mem))


def test_launches_through_cupy(monkeypatch):
    cupy, device = Cupy(), torch.device("cuda", 0)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: SimpleNamespace(cuda_stream=5))
    found, why_not = nvrtc.find(device)
    assert why_not is None
    assert found.detail == "compiled by NVRTC 13.0 through CuPy 14.0"
    assert found.machine(device) == (3, 7, 8)
    work = np.arange(3, dtype=np.uint64).tobytes()
    for shared in (100, 90 << 10, 100):
        found.launch(cuda.Shape("qg_morph", 4, 64, shared), b"the task", work, 2**63 + 9, device)
    assert len(cupy.compiled) == 1, "compiled again"
    assert cupy.compiled[0] == (source.text_of("qg_morph"), source.OPTIONS)
    filled = np.array([2**63 + 9, 1, 2], np.uint64).tobytes()
    assert cupy.calls[1] == ("qg_morph", (4,), (64,), [b"the task", filled], 90 << 10)


def test_a_broken_cupy_is_told(monkeypatch):
    cupy = Cupy()
    cupy.cuda.nvrtc.getVersion = lambda: 1 / 0
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    assert nvrtc.find(torch.device("cuda", 0)) == (
        None,
        "CuPy cannot compile them: ZeroDivisionError: division by zero",
    )


def test_without_either_it_is_told_what_to_install(monkeypatch, fresh_backends):
    monkeypatch.setattr(native, "load", lambda name: (None, f"qgssl_fast.{name} is not built"))
    monkeypatch.setattr(native, "refusal", lambda: None)
    monkeypatch.setattr(native, "cpu", lambda: SimpleNamespace(CUDA_NOTE="no nvcc was found when it was built"))
    monkeypatch.setattr(cuda.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    cuda._found.cache_clear()
    try:
        why_not = backend.refusal("cuda", torch.device("cuda", 0))
    finally:
        cuda._found.cache_clear()
    assert why_not == (
        "qgssl_fast._cuda is not built (no nvcc was found when it was built); CuPy, which could compile them, "
        "is not installed (pip install 'qgssl_fast[cuda12]')"
    )


def test_sources_that_are_not_there_are_told(monkeypatch, tmp_path):
    monkeypatch.setattr(source, "_PACKAGE", tmp_path / "package")
    with pytest.raises(InputError, match="the CUDA sources are neither in"):
        source.root()
