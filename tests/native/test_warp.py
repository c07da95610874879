"""The public `affine` and `elastic` in C++ against the reference: every instruction set, extreme maps, raw calls."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import qgssl_fast as qf
from qgssl_fast import backend
from qgssl_fast.kernels.cuda import resample as cuda
from qgssl_fast.kernels.reference import resample as reference

_C = pytest.importorskip("qgssl_fast._C", reason="the C++ module is not built")

ONE = 1 << 16
FRAME = (2, 2, 4096, 4096)
SIZES = [(1, 1), (1, 130), (7, 1), (5, 64), (33, 31), (64, 65), (31, 127), (130, 129)]


def masks_of(size: tuple[int, int]) -> torch.Tensor:
    """Empty, full, noise of three densities, a blob that leaves the image; nonzero is 1."""
    height, width = size
    rng = np.random.default_rng(size)
    y, x = np.mgrid[:height, :width] / max(size)
    blob = np.hypot(x - 0.1, y - 0.3) < 0.4
    noise = [rng.random(size) < density for density in (0.05, 0.5, 0.95)]
    return torch.from_numpy(np.stack([np.zeros(size, bool), np.ones(size, bool), *noise, blob]).astype(np.uint8) * 7)


def maps_of(kind: str, count: int, size: tuple[int, int]) -> torch.Tensor:
    """Q16.16 [count, 2, 3]."""
    rng = np.random.default_rng(len(kind))
    if kind == "similar":
        angle, scale = rng.uniform(-4, 4, count), rng.uniform(0.5, 2, count)
        c, s = scale * np.cos(angle), scale * np.sin(angle)
        tx, ty = (side / 2 + rng.uniform(-9, 9, count) for side in size[::-1])
        cx, cy = size[1] / 2, size[0] / 2
        maps = np.stack([c, -s, tx - c * cx + s * cy, s, c, ty - s * cx - c * cy], 1) * ONE
    elif kind == "any":
        maps = rng.uniform(-2, 2, (count, 6)) * ONE * np.array([1, 1, 40, 1, 1, 40])
    elif kind == "flat":  # every pixel looks at one, at one line, at one column
        maps = np.array([[0, 0, 3, 0, 0, 2], [1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 1, 0], [0, 1, 0, 1, 0, 0]] * count)[
            :count
        ]
        maps = maps * ONE
    elif kind == "eye":
        maps = np.array([[1, 0, 0, 0, 1, 0]] * count) * ONE
    else:  # "wild": far beyond 32 bits; and steps of one unit
        ends = np.array([-(2**31), 2**31 - 1, 1, 0, -1])
        maps = ends[rng.integers(len(ends), size=(count, 6))]
        maps[-1] = [1, 1, 0, -1, 1, ONE // 2]
    return torch.from_numpy(maps.astype(np.int64)).to(torch.int32).reshape(count, 2, 3)


@pytest.mark.parametrize("truncate", [False, True])
@pytest.mark.parametrize("kind", ["similar", "any", "flat", "eye", "wild"])
def test_affine(isa, kind, truncate):
    for size in SIZES:
        masks = masks_of(size)
        maps = maps_of(kind, len(masks), size)
        got, want = (qf.affine(masks, maps, truncate=truncate, backend=b) for b in ("native", "reference"))
        assert torch.equal(got, want), (size, [torch.equal(a, b) for a, b in zip(got, want)])


@pytest.mark.parametrize("smoothness", [0.5, 1.2, 4, 5, 20, 64])
@pytest.mark.parametrize("amplitude", [0.0, 0.7, 3.385, 64])
def test_elastic(isa, amplitude, smoothness):
    for size in SIZES:
        masks = masks_of(size)
        ids = torch.tensor([0, -1, 2**62, 5, 6, 7])
        arguments = (masks, amplitude, smoothness)
        got, want = (qf.elastic(*arguments, seed=2**64 - 5, sample_ids=ids, backend=b) for b in ("native", "reference"))
        assert torch.equal(got, want), (size, [torch.equal(a, b) for a, b in zip(got, want)])


def test_threads_batches_and_strides():
    masks = masks_of((50, 70)).repeat(7, 1, 1)
    maps = maps_of("similar", len(masks), (50, 70))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        both = qf.affine(masks, maps, backend="native"), qf.elastic(masks, 3.0, 4.0, backend="native")
    finally:
        torch.set_num_threads(before)
    want = qf.affine(masks, maps, backend="reference"), qf.elastic(masks, 3.0, 4.0, backend="reference")
    assert torch.equal(both[0], want[0])
    assert torch.equal(both[1], want[1])

    part = slice(3, None, 4)
    ids = torch.arange(len(masks), dtype=torch.int32)[part]
    assert torch.equal(qf.elastic(masks[part], 3.0, 4.0, sample_ids=ids), want[1][part])
    assert torch.equal(qf.affine(masks[part], maps[part]), want[0][part])
    strided = masks.transpose(1, 2).contiguous().transpose(1, 2)
    assert torch.equal(qf.affine(strided.bool(), maps), want[0])
    assert torch.equal(qf.elastic(strided.bool(), 3.0, 4.0), want[1])
    none = qf.affine(masks[:0], maps[:0], backend="native")
    assert none.shape == qf.elastic(masks[:0], 3.0, 4.0, backend="native").shape == (0, 50, 70)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 130),
    st.integers(1, 130),
    st.lists(st.integers(-3 * ONE, 3 * ONE), min_size=4, max_size=4),
    st.lists(st.integers(-200 * ONE, 200 * ONE), min_size=2, max_size=2),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_affine_of_anything(height, width, steps, starts, truncate, seed):
    mask = torch.from_numpy((np.random.default_rng(seed).random((1, height, width)) < 0.6).astype(np.uint8))
    maps = torch.tensor([[[*steps[:2], starts[0]], [*steps[2:], starts[1]]]], dtype=torch.int32)
    got, want = (qf.affine(mask, maps, truncate=truncate, backend=b) for b in ("native", "reference"))
    assert torch.equal(got, want)


def test_the_longest_sides():
    for size in [(3, 4096), (4096, 3)]:
        masks = masks_of(size)
        for kind in ("similar", "wild"):
            maps = maps_of(kind, len(masks), size)
            assert torch.equal(qf.affine(masks, maps, backend="native"), qf.affine(masks, maps, backend="reference"))
        for arguments in [(3.0, 0.5), (64.0, 64.0)]:
            assert torch.equal(
                qf.elastic(masks, *arguments, backend="native"), qf.elastic(masks, *arguments, backend="reference")
            )


DEEP = [(1, 9, 30), (5, 17, 40), (9, 3, 70), (6, 33, 65)]


def volumes_of(size: tuple[int, ...]) -> torch.Tensor:
    """Empty, full, noise, a ball that leaves the volume; nonzero is 1."""
    rng = np.random.default_rng(size)
    at = [axis / max(size) for axis in np.indices(size)]
    ball = sum((a - c) ** 2 for a, c in zip(at, (0.1, 0.3, 0.4))) < 0.06
    noise = [rng.random(size) < density for density in (0.05, 0.6)]
    return torch.from_numpy(np.stack([np.zeros(size), np.ones(size), *noise, ball]).astype(np.uint8) * 5)


@pytest.mark.parametrize("truncate", [False, True])
@pytest.mark.parametrize("kind", ["near", "any", "flat", "wild"])
def test_affine_of_volumes(isa, kind, truncate):
    for size in DEEP:
        masks, rng = volumes_of(size), np.random.default_rng(len(kind))
        if kind == "near":
            maps = np.eye(3, 4) * ONE + rng.normal(0, 0.15, (5, 3, 4)) * ONE * [1, 1, 1, 10]
        elif kind == "any":
            maps = rng.uniform(-2, 2, (5, 3, 4)) * ONE * [1, 1, 1, 20]
        elif kind == "flat":
            maps = np.array([np.eye(3, 4), np.eye(3, 4, 1), np.eye(3, 4, 3), np.eye(3, 4) * -1, np.zeros((3, 4))]) * ONE
        else:
            maps = np.array([-(2**31), 2**31 - 1, 1, 0, -1])[rng.integers(5, size=(5, 3, 4))]
        maps = torch.from_numpy(maps.astype(np.int64)).to(torch.int32)
        got, want = (qf.affine(masks, maps, truncate=truncate, backend=b) for b in ("native", "reference"))
        assert torch.equal(got, want), (size, [torch.equal(a, b) for a, b in zip(got, want)])


@pytest.mark.parametrize("spacing", [None, (3.0, 1.0, 1.0), (0.4, 1.3, 1.0)])
@pytest.mark.parametrize(("amplitude", "smoothness"), [(0.0, 2.0), (1.0, 0.5), (2.1, 4.0), (6.0, 3.0), (64.0, 64.0)])
def test_elastic_of_volumes(isa, amplitude, smoothness, spacing):
    for size in DEEP:
        masks = volumes_of(size)
        ids = torch.tensor([0, -1, 2**62, 5, 6])
        options = {"seed": 2**64 - 5, "sample_ids": ids, "spacing": spacing}
        got, want = (qf.elastic(masks, amplitude, smoothness, **options, backend=b) for b in ("native", "reference"))
        assert torch.equal(got, want), (size, [torch.equal(a, b) for a, b in zip(got, want)])


@pytest.mark.parametrize("truncate", [False, True])
@pytest.mark.parametrize("kind", ["similar", "any", "flat", "wild"])
def test_affine_by_cuda(gpu, kind, truncate):
    for size in [(1, 1), (33, 31), (31, 127)] if gpu.device.type == "cpu" else SIZES:
        masks = masks_of(size)
        maps = maps_of(kind, len(masks), size)
        got, want = gpu.run(cuda.affine, masks, maps, truncate), reference.affine(masks, maps, truncate)
        assert torch.equal(got, want), (size, [torch.equal(a, b) for a, b in zip(got, want)])
    for size in DEEP[:2] if gpu.device.type == "cpu" else DEEP:
        masks, rng = volumes_of(size), np.random.default_rng(0)
        maps = np.eye(3, 4) * ONE + rng.normal(0, 0.15, (5, 3, 4)) * ONE * [1, 1, 1, 10]
        maps = torch.from_numpy(maps.astype(np.int64)).to(torch.int32)
        assert torch.equal(gpu.run(cuda.affine, masks, maps, truncate), reference.affine(masks, maps, truncate)), size


@pytest.mark.parametrize(("amplitude", "smoothness"), [(0.0, 2.0), (3.385, 5.0), (9.0, 0.5), (64.0, 64.0)])
def test_elastic_by_cuda(gpu, amplitude, smoothness):
    arguments = (int(amplitude * ONE), int(smoothness * ONE), 2**64 - 5)
    for size in [(1, 1), (33, 31), (31, 127)] if gpu.device.type == "cpu" else SIZES:
        masks, ids = masks_of(size), torch.tensor([0, -1, 2**62, 5, 6, 7])
        got, want = gpu.run(cuda.elastic, masks, *arguments, ids), reference.elastic(masks, *arguments, ids)
        assert torch.equal(got, want), (size, [torch.equal(a, b) for a, b in zip(got, want)])
    for size in DEEP[:2] if gpu.device.type == "cpu" else DEEP:
        masks, spacing = volumes_of(size), (9000, 3000)
        got = gpu.run(cuda.elastic, masks, *arguments, torch.arange(5), spacing)
        assert torch.equal(got, reference.elastic(masks, *arguments, torch.arange(5), spacing)), size


def test_native_serves_by_default():
    assert backend.choose("affine", "cpu") == backend.choose("elastic", "cpu") == "native"


@pytest.mark.parametrize(
    ("name", "arguments", "text"),
    [
        ("affine", ("masks", 0, "maps", False, (2, 1, 4, 4), 2, 1), "out must not be null"),
        ("affine", ("masks", "out", 0, False, (2, 1, 4, 4), 2, 1), "matrices must not be null"),
        ("affine", ("masks", "out", "maps", False, (2, 2, 4, 4), 2, 1), "axes must be 3, or 2 for masks of depth 1"),
        ("affine", ("masks", "out", "maps", False, (2, 1, 0, 4), 2, 1), "sides of a mask must be >= 1"),
        ("elastic", (0, "out", (1, ONE), 0, "maps", (2, 1, 4, 4), FRAME, 1), "in must not be null"),
        ("elastic", ("masks", "out", (1, ONE), 0, 0, (2, 1, 4, 4), FRAME, 1), "sample_ids must not be null"),
        ("elastic", ("masks", "out", (-1, ONE), 0, "maps", (2, 1, 4, 4), FRAME, 1), "amplitude must be 0 to 64 px"),
        ("elastic", ("masks", "out", (1, 9), 0, "maps", (2, 1, 4, 4), FRAME, 1), "smoothness must be 0.5 to 64 px"),
        ("elastic", ("masks", "out", (1, ONE), 0, "maps", (2, 1, 4, 4097), FRAME, 1), "must have sides up to 4096"),
        ("elastic", ("masks", "out", (1, ONE), 0, "maps", (2, 1, 4, 4), (2, 2, 9, 9), 1), "sides of a voxel must be"),
    ],
)
def test_raw_calls_are_checked(name, arguments, text):
    held = {key: torch.zeros(64, dtype=torch.int64) for key in ("masks", "out", "maps")}
    with pytest.raises(ValueError, match=text):
        getattr(_C, name)(*(held[a].data_ptr() if isinstance(a, str) else a for a in arguments))
