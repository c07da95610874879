"""Builds C++ test libraries out of the sources that the package is built from, and runs masks through them."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from qgssl_fast.kernels import cuda
from qgssl_fast.kernels.native.corrupt import numbers_of

HERE = Path(__file__).parent
CSRC = HERE.parents[1] / "csrc"
POINTERS = (
    "in_",
    "out",
    "numbers",
    "errors",
    "counts",
    "quality",
    "rows",
    "given_rows",
    "recipe",
    "sample_ids",
    "image_ids",
)
BANK = ("truth", "weak", "order", "rank", "low")


class BankTables(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_void_p) for name in BANK),
        *((name, ctypes.c_int32) for name in ("donors", "snapshots", "images")),
    ]


class CorruptTask(ctypes.Structure):
    """csrc/task.h: CorruptTask, member by member."""

    _fields_ = [
        *(("in_", ctypes.c_void_p), ("out", ctypes.c_void_p), ("out_kind", ctypes.c_int), ("out_step", ctypes.c_int64)),
        *(("class_step", ctypes.c_int64), ("numbers", ctypes.c_void_p)),
        *((name, ctypes.c_void_p) for name in ("errors", "counts", "quality", "rows", "given_rows", "recipe")),
        ("seed", ctypes.c_uint64),
        *((name, ctypes.c_void_p) for name in ("sample_ids", "image_ids")),
        *(("bank", BankTables), ("batch", ctypes.c_int64)),
        *(
            (name, ctypes.c_int)
            for name in ("classes", "axes", "spacing_z", "spacing_y", "depth", "height", "width", "threads")
        ),
    ]


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
    built: dict[str, ctypes.CDLL] = {}

    def build(stem: str) -> ctypes.CDLL:
        if stem not in built:
            target = tmp_path_factory.mktemp("native") / f"{stem}.so"
            flags = ["-std=c++17", "-O1", "-g", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror"]
            checks = ["-fsanitize=undefined", "-fsanitize-undefined-trap-on-error"]
            source = [str(HERE / f"{stem}.cpp"), "-I", str(HERE), "-DQG_NAMESPACE=qg_test"]
            subprocess.run([compiler, *flags, *checks, *source, "-o", str(target)], check=True)
            built[stem] = ctypes.CDLL(str(target))
            assert built[stem].task_bytes() == ctypes.sizeof(CorruptTask)
        return built[stem]

    return build


@pytest.fixture(scope="session")
def through() -> Callable[..., tuple[torch.Tensor, ...]]:
    """through(call, masks, tables, seed, ids, bank, images, rows): `call` fills a CorruptTask; masks, quality,
    overlap, rows, errors come back. Bytes around the masks that change fail the test."""

    def run(call, masks, tables, seed, ids, bank=None, images=None, rows=None, spacing=(4096, 4096), num_classes=2):
        masks, ids = masks.contiguous(), ids.contiguous()
        planes = masks.shape if num_classes == 2 else (len(masks), num_classes - 1, *masks.shape[1:])
        is_soft = tables.softness[0] > 0
        guarded = [torch.full((4 * num_classes * masks.numel() + 64,), 77, dtype=torch.uint8) for _ in range(2)]
        out, errors = (
            memory[32 : 32 + torch.Size(shape).numel() * dtype.itemsize].view(dtype).view(shape)
            for memory, shape, dtype in (
                (guarded[0], planes if is_soft else masks.shape, torch.float32 if is_soft else torch.uint8),
                (guarded[1], planes, torch.uint8),
            )
        )
        counts = torch.full((len(masks), num_classes - 1, 3), -7, dtype=torch.int32)
        drawn = torch.full((len(masks), 3), -7, dtype=torch.int32)
        quality = torch.full((len(masks),) if num_classes == 2 else (len(masks), num_classes - 1), -7.0)
        given = None if rows is None else rows.to(torch.int32).contiguous()
        held = SimpleNamespace(
            in_=masks,
            out=out,
            errors=errors,
            counts=counts,
            quality=quality,
            rows=drawn,
            given_rows=given,
            recipe=torch.from_numpy(tables.flat.copy()),
            sample_ids=ids,
            image_ids=images,
            numbers=torch.from_numpy(numbers_of(out.dtype, is_soft)),
        )
        task = CorruptTask(seed=seed, batch=len(masks), threads=1, classes=num_classes)
        task.out_kind, task.out_step = int(is_soft), out.stride(0) * out.element_size()
        task.class_step = out.stride(1) * out.element_size() if out.dim() > masks.dim() else 0
        for name in POINTERS:
            setattr(task, name, None if getattr(held, name) is None else getattr(held, name).data_ptr())
        size = masks.shape[1:]
        task.axes = len(size)
        task.spacing_z, task.spacing_y = spacing
        task.depth, task.height, task.width = (1, *size) if len(size) == 2 else size
        if bank is not None:
            arrays = [np.ascontiguousarray(getattr(bank, name)) for name in BANK]
            numbers = (bank.donors, len(bank.weak), len(bank.truth))
            task.bank = BankTables(*(array.ctypes.data for array in arrays), *numbers)
        call(task, held)
        for memory, tensor in zip(guarded, (out, errors)):
            assert bool((memory[:32] == 77).all())
            assert bool((memory[32 + tensor.numel() * tensor.element_size() :] == 77).all())
        return out, quality, counts, drawn, errors

    return run


class Gpu:
    """Runs kernels on a real GPU: arguments go there, results come back."""

    device = torch.device("cuda", 0)

    def run(self, function, *arguments, **options):
        there = [self._moved(value, self.device) for value in arguments]
        made = function(*there, **{key: self._moved(value, self.device) for key, value in options.items()})
        if isinstance(made, tuple):
            return tuple(self._moved(part, "cpu") for part in made)
        return self._moved(made, "cpu")

    @staticmethod
    def _moved(value, device):
        return value.to(device) if isinstance(value, torch.Tensor) else value


class OnCpu(Gpu):
    """Launches the CUDA files' kernels on the CPU, on a machine that tests choose: `sizes` has its processors, and
    bytes of shared memory of a block and of a processor."""

    device = torch.device("cpu")
    detail = "on the CPU"

    def __init__(self, lib: ctypes.CDLL) -> None:
        self.lib, self.scratch, self.sizes = lib, None, MACHINES["roomy"]

    def machine(self, device: torch.device) -> tuple[int, int, int]:
        return self.sizes

    def launch(self, shape: cuda.Shape, task: bytes, work: bytes, scratch: int, device: torch.device) -> None:
        numbers = (ctypes.c_int64(number) for number in shape[1:])
        status = self.lib.launch(shape.kernel.encode(), *numbers, task, work, ctypes.c_void_p(scratch))
        assert status == 0, shape
        if scratch:
            assert bool((self.scratch[-8:] == 123).all()), "wrote behind the scratch"


# One processor that holds a mask of the tests, two planes of one, nothing: planes and arenas then lie in scratch.
MACHINES = {"roomy": (1, 227 << 10, 228 << 10), "two planes": (2, 1300, 4096), "none": (1, 513, 1025)}
REAL = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


@pytest.fixture
def sizes_of() -> dict[str, tuple[int, int, int]]:
    return MACHINES


@pytest.fixture
def on_cpu(library, monkeypatch) -> OnCpu:
    """The package's CUDA kernels on CPU tensors."""
    fake = OnCpu(library("cuda_on_cpu"))

    def scratch(op: str, words: int, device: torch.device) -> torch.Tensor:
        fake.scratch = torch.full((words + 8,), 123, dtype=torch.int32)
        return fake.scratch

    monkeypatch.setattr(cuda, "launcher", lambda device: fake)
    monkeypatch.setattr(cuda, "_scratch", scratch)
    return fake


@pytest.fixture(params=[*MACHINES, pytest.param("real", marks=REAL)])
def gpu(request) -> Gpu:
    """gpu.run(kernel, ...): a CUDA kernel on the CPU, on machines of several sizes, and where there is one on a GPU."""
    if request.param == "real":
        if why_not := cuda.refusal(Gpu.device):
            pytest.skip(why_not)
        return Gpu()
    fake: OnCpu = request.getfixturevalue("on_cpu")
    fake.sizes = MACHINES[request.param]
    return fake
