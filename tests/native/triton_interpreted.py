"""Run by test_triton.py in a process of its own, under TRITON_INTERPRET=1: the Triton kernels on CPU tensors."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch

from qgssl_fast.kernels.reference import morph as reference
from qgssl_fast.kernels.reference.overlap import overlap as reference_overlap
from qgssl_fast.ops import morph
from qgssl_fast.ops.overlap import overlap
from qgssl_fast.ops.warp import affine, elastic

GENERATOR = torch.Generator().manual_seed(0)


def guarded(shape: tuple[int, ...], density: float) -> torch.Tensor:
    """A mask with ones in the memory around it, which a kernel that leaves the mask would see."""
    pixels = torch.Size(shape).numel()
    memory = torch.ones(pixels + 512, dtype=torch.uint8)
    mask = memory[256:-256].view(shape)
    mask.copy_(torch.rand(shape, generator=GENERATOR) < density)
    return mask


spec = importlib.util.spec_from_file_location("suite", Path(__file__).parents[1] / "ops" / "test_devices.py")
suite = importlib.util.module_from_spec(spec)
spec.loader.exec_module(suite)
for size in suite.SIZES:
    masks, other = suite.images(*size)[2:5], suite.images(*size, seed=1)[2:5]
    for op in ("erode", "dilate"):
        for radius in (1, 4):
            got = getattr(morph, op)(masks, radius, backend="triton")
            assert torch.equal(got, getattr(reference, op)(masks, radius)), (op, size, radius)
    assert torch.equal(overlap(masks, other, backend="triton"), reference_overlap(masks, other)), size
    turn = torch.eye(len(size), len(size) + 1).expand(3, -1, -1) * 1.3 - 0.1
    got, want = (affine(masks, turn, backend=name) for name in ("triton", "reference"))
    assert torch.equal(got, want), ("affine", size)
    got, want = (elastic(masks, 3.4, 5.0, backend=name) for name in ("triton", "reference"))
    assert torch.equal(got, want), ("elastic", size)

CASES = [
    *(((2, 1, 1), radius, density) for radius in (0, 1) for density in (0.0, 1.0)),
    ((2, 5, 9), 70, 0.97),
    ((1, 37, 130), 3, 0.03),
    ((3, 64, 65), 1, 0.97),
    ((2, 3, 7, 33), 2, 0.03),
    ((1, 9, 1, 40), 5, 0.97),
]
for shape, radius, density in CASES:
    masks = guarded(shape, density) * 7
    for op in ("erode", "dilate"):
        got = getattr(morph, op)(masks, radius, backend="triton")
        assert torch.equal(got, getattr(reference, op)(masks, radius)), (op, shape, radius, density)
masks = guarded((1, 20, 30), 0.5)
for op in ("opening", "closing"):
    assert torch.equal(getattr(morph, op)(masks, 1, backend="triton"), getattr(reference, op)(masks, 1)), op

masks = torch.rand((4, 20, 30), generator=GENERATOR) < 0.5
assert morph.erode(masks, 1, backend="triton").dtype == torch.bool
assert torch.equal(morph.erode(masks[:, ::2, ::3], 1, backend="triton"), reference.erode(masks[:, ::2, ::3], 1))
assert morph.erode(masks[:0], 1, backend="triton").shape == (0, 20, 30)
assert torch.equal(overlap(masks, ~masks | masks, backend="triton"), reference_overlap(masks, ~masks | masks))

for shape, classes in [((3, 5, 7), 2), ((2, 65, 127), 2), ((2, 9, 9), 5), ((1, 8, 8), 70), ((1, 4, 30, 40), 3)]:
    a, b = (torch.randint(0, classes, shape, dtype=torch.uint8, generator=GENERATOR) for _ in range(2))
    assert torch.equal(overlap(a, b, classes, backend="triton"), reference_overlap(a, b, classes)), (shape, classes)


def maps_of(kind: str, count: int, axes: int) -> torch.Tensor:
    """Q16.16 [count, axes, axes + 1]: near the identity, far from it, whole numbers at both ends of int32."""
    if kind == "ends":
        ends = torch.tensor([-(2**31), 2**31 - 1, 1, 0, -1], dtype=torch.int32)
        return ends[torch.randint(5, (count, axes, axes + 1), generator=GENERATOR)]
    noise = torch.randn(count, axes, axes + 1, generator=GENERATOR)
    noise[:, :, -1] *= 9
    return ((torch.eye(axes, axes + 1) * (kind == "near") + noise * (0.2 if kind == "near" else 2)) * 65536).int()


for shape in [(3, 1, 1), (4, 33, 47), (3, 5, 130), (4, 4, 9, 33), (3, 1, 12, 20)]:
    masks = guarded(shape, 0.6) * 7
    for kind in ("near", "far", "ends"):
        for truncate in (False, True):
            arguments = (masks, maps_of(kind, len(masks), masks.dim() - 1))
            got, want = (affine(*arguments, truncate=truncate, backend=name) for name in ("triton", "reference"))
            assert torch.equal(got, want), ("affine", shape, kind, truncate)
    for amplitude, smoothness in [(0.0, 2.0), (3.385, 5.0), (9.0, 0.5), (64.0, 64.0)]:
        ids = torch.tensor([0, -1, 2**62, 5])[: len(masks)]
        options = {"seed": 2**64 - 5, "sample_ids": ids, "spacing": None if len(shape) == 3 else (2.5, 1.0, 1.0)}
        arguments = (masks, amplitude, smoothness)
        got, want = (elastic(*arguments, **options, backend=name) for name in ("triton", "reference"))
        assert torch.equal(got, want), ("elastic", shape, amplitude, smoothness)
masks = torch.rand((4, 20, 30), generator=GENERATOR) < 0.5
assert elastic(masks[:0], 3.0, 4.0, backend="triton").shape == (0, 20, 30)
assert affine(masks[:0], maps_of("near", 0, 2), backend="triton").dtype == torch.uint8
assert torch.equal(elastic(masks[:, ::2], 3.0, 4.0, backend="triton"), elastic(masks[:, ::2], 3.0, 4.0))

print("triton interpreted: ok")
