"""The operations' own suite (tests/ops/test_devices.py) by CUDA kernels without a GPU: on the CPU, a fiber for
each thread. Triton's interpreter takes minutes for it: TRITON_INTERPRET=1 pytest tests/ops/test_devices.py -k
cpu-triton; triton_interpreted.py goes over the same sizes."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

import qgssl_fast as qf
from qgssl_fast import backend
from qgssl_fast.kernels import cuda

scratch = cuda._scratch  # the fixtures put another in its place
SUITE = Path(__file__).parents[1] / "ops" / "test_devices.py"
_spec = importlib.util.spec_from_file_location("op_suite", SUITE)
suite = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(suite)
pytest.importorskip("qgssl_fast._C", reason="the C++ module is not built")


@pytest.fixture(params=["roomy", "two planes"])
def by_cuda(request, on_cpu, sizes_of, monkeypatch, fresh_backends):
    """backend="cuda" then serves CPU tensors, as on a GPU that holds a whole mask or two of its planes."""
    on_cpu.sizes = sizes_of[request.param]
    refusal = backend.refusal
    monkeypatch.setattr(backend, "refusal", lambda name, device: None if name == "cuda" else refusal(name, device))
    return "cpu", "cuda"


@pytest.mark.parametrize("size", suite.SIZES)
@pytest.mark.parametrize("op", ["erode", "dilate", "opening", "closing"])
def test_morph(op, size, by_cuda):
    suite.test_morph(op, size, *by_cuda)


@pytest.mark.parametrize("size", suite.SIZES)
def test_overlap(size, by_cuda):
    suite.test_overlap(size, *by_cuda)


@pytest.mark.parametrize("size", suite.SIZES)
def test_warp(size, by_cuda):
    suite.test_warp(size, *by_cuda)


@pytest.mark.parametrize("size", suite.SIZES)
@pytest.mark.parametrize("recipe", ["paper", "default"])
def test_corrupt_and_replay(recipe, size, by_cuda):
    suite.test_corrupt_and_replay(recipe, size, *by_cuda)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float16, torch.bfloat16])
def test_into_a_channel(dtype, by_cuda):
    suite.test_into_a_channel(dtype, *by_cuda)


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("softness", [None, suite.Softness(0.8, 1, 9, 1.0, 20.0)])
def test_labels_and_soft_masks(classes, softness, by_cuda):
    suite.test_labels_and_soft_masks(classes, softness, *by_cuda)


def test_memory_that_is_not_there_for_the_scratch_is_told(by_cuda, on_cpu, sizes_of, monkeypatch):
    masks, recipe = suite.images(33, 65), suite.RECIPE
    on_cpu.sizes = sizes_of["none"]
    real = torch.empty

    def empty(*shape, **options):
        if shape and isinstance(shape[0], int) and options.get("dtype") == torch.int32:
            raise torch.OutOfMemoryError("Tried to allocate 9.00 GiB")
        return real(*shape, **options)

    with monkeypatch.context() as full:
        full.setattr(cuda, "_scratch", scratch)
        full.setattr(torch, "empty", empty)
        for op, run in {
            "corrupt": lambda: qf.corrupt(masks, recipe, backend="cuda"),
            "erode": lambda: qf.erode(masks, 2, backend="cuda"),
            "elastic": lambda: qf.elastic(masks, 3.0, 5.0, backend="cuda"),
        }.items():
            with pytest.raises(torch.OutOfMemoryError, match=rf"^{op}: no memory on cpu for \d+ MiB of scratch"):
                run()
    suite.same(qf.corrupt(masks, recipe, backend="cuda"), qf.corrupt(masks, recipe, backend="reference"))


@pytest.mark.parametrize("name", ["cuda", "triton"])
@pytest.mark.parametrize("op", ["erode", "overlap", "affine", "elastic", "corrupt"])
def test_what_cannot_serve_but_is_asked_for_is_told(op, name, monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    masks = suite.images(9, 12)
    more = {
        "erode": (1,),
        "overlap": (masks,),
        "affine": (suite.EYE,),
        "elastic": (1.0, 2.0),
        "corrupt": (suite.RECIPE,),
    }
    with pytest.raises(
        qf.InputError, match=rf"^{op}: backend '{name}' cannot serve on cpu: .*; can: native, reference"
    ):
        getattr(qf, op)(masks, *more[op], backend=name)


@pytest.mark.parametrize("op", ["erode", "affine", "elastic", "overlap", "corrupt"])
def test_masks_that_are_too_wide_are_told_before_a_launch(op, by_cuda, on_cpu, monkeypatch):
    wide = torch.zeros(1, 1, 1, dtype=torch.uint8).expand(1, 2**16, 2**15)
    monkeypatch.setattr(on_cpu, "launch", lambda *_: pytest.fail("was launched"))
    eye = torch.eye(2, 3)[None]
    more = {"erode": (1,), "overlap": (wide,), "affine": (eye,), "elastic": (1.0, 2.0), "corrupt": (suite.RECIPE,)}
    with pytest.raises(qf.InputError, match=r"must have fewer than 2\^31 pixels"):
        getattr(qf, op)(wide, *more[op], backend="cuda")
