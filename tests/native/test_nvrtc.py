"""The CUDA sources by a run-time compiler: one text a kernel, compiled without a driver, launched through CuPy."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import qgssl_fast as qf
from qgssl_fast import backend
from qgssl_fast.errors import InputError
from qgssl_fast.kernels import cuda, native
from qgssl_fast.kernels.cuda import nvrtc, source

HERE = Path(__file__).parent
# The largest kernel takes a minute; nvcc's test compiles it for the other architecture too.
COMPILED = [(name, arch) for name in source.FILES for arch in ("80", "90") if (name, arch) != ("qg_corrupt", "80")]


@pytest.mark.parametrize("kernel", source.FILES)
def test_a_text_holds_all_that_it_includes(kernel):
    text = source.text_of(kernel)
    assert f" {kernel}(" in text
    assert '#include "' not in text
    assert text.count("struct Work {") == 1
    assert "swapcontext" not in text  # what only the run on a CPU has


@pytest.mark.parametrize(("kernel", "architecture"), COMPILED)
def test_compiles_without_a_driver(kernel, architecture):
    pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-bindings is not installed (extra: nvrtc)")
    options = [*source.OPTIONS, source.DEFAULT_DEVICE, f"--gpu-architecture=sm_{architecture}"]
    command = [sys.executable, str(HERE / "nvrtc.py"), kernel, *options]
    done = subprocess.run(command, input=source.text_of(kernel), capture_output=True, text=True, timeout=600)
    if "libnvrtc" in done.stderr:
        pytest.skip("NVRTC is not installed (extra: nvrtc)")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 1000


def test_compiles_through_cupy_and_is_kept_on_disk(tmp_path):
    """The real CuPy as far as it goes without a driver: its options beside ours, its compiler, its cache."""
    pytest.importorskip("cupy", reason="CuPy is not installed (extras: cuda12, cuda13)")
    environment = os.environ | {"CUPY_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, str(HERE / "cupy_compiled.py"), "qg_morph", "qg_overlap", "qg_affine"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    if "DynamicLibNotFoundError" in done.stderr:
        pytest.skip("CuPy finds no NVRTC")
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")
def test_cupy_without_a_driver_is_passed_over_with_one_warning(monkeypatch, fresh_backends):
    pytest.importorskip("cupy", reason="CuPy is not installed (extras: cuda12, cuda13)")
    pytest.importorskip("qgssl_fast._C", reason="the C++ module is not built")
    real = native.load
    monkeypatch.setattr(native, "load", lambda name: (None, "not built") if name == "_cuda" else real(name))
    assert qf.corrupt  # registers
    cuda._found.cache_clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        taken = [backend.choose("corrupt", torch.device("cuda", k)) for k in range(3)]
    with pytest.raises(InputError, match=r"corrupt: backend 'cuda' cannot serve on cuda:0: .*CuPy cannot compile"):
        backend.choose("corrupt", "cuda:0", "cuda")
    cuda._found.cache_clear()
    assert taken == ["native"] * 3
    said = [str(one.message) for one in caught]
    assert len(said) == 1, said
    assert "through pinned memory" in said[0]
    assert "CuPy cannot compile them: CUDARuntimeError: cudaErrorInsufficientDriver" in said[0]


def test_streams_of_torch_become_cupys():
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed (extras: cuda12, cuda13)")
    launcher = nvrtc.Compiled(cupy, "")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [launcher._stream(pointer).ptr for pointer in (0, 5, 2**40)] == [0, 5, 2**40]


class Cupy:
    """As much of CuPy as the launcher asks of it; kernels are kept with what they were given."""

    __version__ = "14.0"

    def __init__(self, modern: bool = True) -> None:
        self.streams: list[int] = []
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
            Stream=SimpleNamespace(from_external=self.adopt) if modern else SimpleNamespace(),
            ExternalStream=self.old_stream,
            nvrtc=SimpleNamespace(getVersion=lambda: (13, 0)),
            runtime=runtime,
        )

    def adopt(self, stream):
        return self.old_stream(stream.__cuda_stream__()[1])

    def old_stream(self, pointer):
        self.streams.append(pointer)
        return nullcontext()

    def RawModule(self, code, options):
        self.compiled.append((code, options))
        return SimpleNamespace(get_function=lambda name: Kernel(name, self.calls))


class Kernel:
    def __init__(self, name, calls):
        self.name, self.calls, self.max_dynamic_shared_size_bytes = name, calls, 0

    def __call__(self, grid, block, parameters, shared_mem):
        assert shared_mem <= max(self.max_dynamic_shared_size_bytes, 48 << 10)
        self.calls.append((self.name, grid, block, [p.tobytes() for p in parameters], shared_mem))


@pytest.mark.parametrize("modern", [True, False])
def test_launches_through_cupy(monkeypatch, modern):
    cupy, device = Cupy(modern), torch.device("cuda", 0)
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
    assert cupy.streams == [5, 5, 5]
    filled = np.array([2**63 + 9, 1, 2], np.uint64).tobytes()
    assert cupy.calls[1] == ("qg_morph", (4,), (64,), [b"the task", filled], 90 << 10)


def test_a_broken_cupy_is_told(monkeypatch):
    cupy = Cupy()
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    cupy.cuda.nvrtc.getVersion = lambda: 1 / 0
    assert nvrtc.find(torch.device("cuda", 0)) == (
        None,
        "CuPy 14.0 has no NVRTC to compile them (pip install nvidia-cuda-nvrtc-cu12): "
        "ZeroDivisionError: division by zero",
    )
    cupy.cuda.runtime.runtimeGetVersion = lambda: [][0]
    assert nvrtc.find(torch.device("cuda", 0)) == (
        None,
        "CuPy cannot compile them: IndexError: list index out of range",
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
