"""What only a GPU can show of its kernels: streams, graphs, no waiting, memory that runs out, large sizes."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

import qgssl_fast as qf
from qgssl_fast.corruption import MaskBank
from qgssl_fast.kernels import cuda

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]
DEVICE = torch.device("cuda", 0)
FIELDS = ("masks", "quality", "overlap", "rows")


@pytest.fixture(autouse=True)
def _served():
    if why_not := cuda.refusal(DEVICE):
        pytest.skip(why_not)


def lesions(count: int, *size: int) -> torch.Tensor:
    rng = np.random.default_rng(0)
    at = np.indices(size).astype(np.float32) / max(size)
    centres, radii = rng.uniform(0.3, 0.7, (count, len(size))), rng.uniform(0.05, 0.3, count)
    shape = (len(size),) + (1,) * len(size)
    return torch.from_numpy(
        np.stack([((at - c.reshape(shape)) ** 2).sum(0) < r * r for c, r in zip(centres, radii)]).astype(np.uint8)
    )


def same(got, want) -> None:
    for field in FIELDS:
        assert torch.equal(getattr(got, field).cpu(), getattr(want, field)), field


# Planes in shared memory, some of them, none: 224 is eight blocks a processor, 1500 has its planes in L2.
@pytest.mark.parametrize("size", [(224, 224), (256, 256), (500, 511), (1500, 1501), (96, 96, 96), (40, 130, 131)])
def test_large_masks(size):
    masks = lesions(3000 if size[0] < 300 and len(size) == 2 else 12, *size)
    recipe = qf.load_recipe("default").without_bank()
    same(qf.corrupt(masks.to(DEVICE), recipe, seed=1, backend="cuda"), qf.corrupt(masks, recipe, seed=1))
    for radius in (3, 100):
        got = qf.erode(masks.to(DEVICE), radius, backend="cuda").cpu()
        assert torch.equal(got, qf.erode(masks, radius))
    for name in ("cuda", "triton"):
        got = qf.elastic(masks.to(DEVICE), 5.0, 6.0, seed=3, backend=name).cpu()
        assert torch.equal(got, qf.elastic(masks, 5.0, 6.0, seed=3)), name


def test_a_batch_in_parts_and_twice():
    masks = lesions(5000, 64, 64).to(DEVICE)
    recipe = qf.load_recipe("paper").without_bank()
    ids = torch.arange(5000, device=DEVICE)
    whole = qf.corrupt(masks, recipe, sample_ids=ids, backend="cuda")
    again = qf.corrupt(masks, recipe, sample_ids=ids, backend="cuda")
    parts = [qf.corrupt(masks[k : k + 777], recipe, sample_ids=ids[k : k + 777]) for k in range(0, 5000, 777)]
    for field in FIELDS:
        assert torch.equal(getattr(whole, field), getattr(again, field)), field
        assert torch.equal(getattr(whole, field), torch.cat([getattr(part, field) for part in parts])), field


def bank_of(masks: torch.Tensor) -> MaskBank:
    bank = MaskBank(masks)
    bank.add(masks.roll(1, 0))
    return bank


def test_the_host_never_waits():
    masks = lesions(64, 100, 100).to(DEVICE)
    ids, recipe, bank = torch.arange(64, device=DEVICE), qf.load_recipe("default"), bank_of(masks)
    inputs = torch.zeros(64, 4, 100, 100, dtype=torch.bfloat16, device=DEVICE)
    matrices = torch.eye(2, 3, device=DEVICE).expand(64, 2, 3)

    def step() -> None:
        qf.corrupt(masks, recipe, sample_ids=ids, bank=bank, image_ids=ids, out=inputs[:, 3], backend="cuda")
        qf.erode(masks, 3, backend="cuda")
        qf.affine(masks, matrices, backend="cuda")
        qf.elastic(masks, 3.0, 5.0, sample_ids=ids, backend="cuda")
        qf.overlap(masks, masks, backend="cuda")

    step()  # tables are brought to the device
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.cuda.synchronize()


def test_in_a_graph():
    masks, ids = lesions(3000, 64, 64).to(DEVICE), torch.arange(3000, device=DEVICE)
    recipe = qf.load_recipe("default").without_bank()
    first = qf.corrupt(masks, recipe, sample_ids=ids, backend="cuda")
    qf.erode(masks, 3, backend="cuda")
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = qf.corrupt(masks, recipe, sample_ids=ids, backend="cuda")
        eroded = qf.erode(out.masks, 3, backend="cuda")
    for shift in (0, 10**6):
        ids.add_(shift)
        graph.replay()
        want = first if shift == 0 else qf.corrupt(masks, recipe, sample_ids=ids, backend="cuda")
        for field in FIELDS:
            assert torch.equal(getattr(out, field), getattr(want, field)), field
        assert torch.equal(eroded, qf.erode(want.masks, 3))


def test_a_graph_before_any_call_is_told():
    masks, recipe = lesions(4, 20, 20).to(DEVICE), qf.load_recipe("paper").without_bank().replace(p_weak=0.0)
    qf.erode(masks, 1)
    graph = torch.cuda.CUDAGraph()
    with pytest.raises(qf.InputError, match="call it once before it is captured"), torch.cuda.graph(graph):
        qf.corrupt(masks, recipe, backend="cuda")
    assert qf.corrupt(masks, recipe, backend="cuda").masks.shape == masks.shape


def test_on_the_current_stream():
    masks, recipe = lesions(2000, 128, 128), qf.load_recipe("default").without_bank()
    want = qf.corrupt(masks, recipe)
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(200_000_000)  # what runs on another stream would read the masks too early
        there = masks.to(DEVICE, non_blocking=True)
        got = qf.corrupt(there, recipe, backend="cuda")
    stream.synchronize()
    same(got, want)


def test_memory_that_runs_out_is_told():
    masks, recipe = lesions(2000, 224, 224).to(DEVICE), qf.load_recipe("default").without_bank()
    free, _ = torch.cuda.mem_get_info()
    torch.cuda.empty_cache()
    left = torch.cuda.mem_get_info()[0]
    out = torch.empty_like(masks)
    hog = torch.empty(max(torch.cuda.mem_get_info()[0] - (300 << 20), 1), dtype=torch.uint8, device=DEVICE)
    with pytest.raises(torch.OutOfMemoryError, match=r"corrupt: no memory on cuda:0 for .* MiB of scratch"):
        qf.corrupt(masks, recipe, out=out, backend="cuda")
    del hog
    torch.cuda.empty_cache()
    assert left > 0
    assert free > 0
    same(qf.corrupt(masks, recipe, backend="cuda"), qf.corrupt(masks.cpu(), recipe))


def test_labels_beyond_the_classes_end_in_an_assertion():
    """In a process of its own: the device is lost to it."""
    code = """
import torch, qgssl_fast as qf
labels = torch.full((1, 8, 8), 9, dtype=torch.uint8, device="cuda")
try:
    qf.overlap(labels, labels, 3)
    torch.cuda.synchronize()
except RuntimeError as error:
    print("told")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=os.sep, timeout=300)
    assert "told" in done.stdout, done.stderr


@pytest.mark.parametrize("size", [(64, 64), (5, 20, 33)])
def test_compiled_at_run_time_gives_the_same(size, monkeypatch):
    pytest.importorskip("cupy", reason="CuPy is not installed (extras: cuda12, cuda13)")
    from qgssl_fast.kernels.cuda import nvrtc

    found, why_not = nvrtc.find(DEVICE)
    assert found is not None, why_not
    masks, recipe = lesions(300, *size), qf.load_recipe("default").without_bank()
    monkeypatch.setattr(cuda, "launcher", lambda device: found)
    same(qf.corrupt(masks.to(DEVICE), recipe, backend="cuda"), qf.corrupt(masks, recipe))
    assert torch.equal(qf.erode(masks.to(DEVICE), 2, backend="cuda").cpu(), qf.erode(masks, 2))


def test_on_the_second_device():
    if torch.cuda.device_count() < 2:
        pytest.skip("one CUDA device")
    masks, recipe = lesions(100, 64, 64), qf.load_recipe("default").without_bank()
    same(qf.corrupt(masks.to("cuda:1"), recipe, backend="cuda"), qf.corrupt(masks, recipe))
