"""The CUDA kernels on the CPU as the package calls them, and the teams' sums, against the reference."""

from __future__ import annotations

import ctypes

import pytest
import torch

from qgssl_fast.kernels.cuda import morph as cuda
from qgssl_fast.kernels.cuda.corrupt import corrupt as cuda_corrupt
from qgssl_fast.kernels.cuda.overlap import overlap as cuda_overlap
from qgssl_fast.kernels.reference import morph as reference
from qgssl_fast.kernels.reference.overlap import overlap
from qgssl_fast.ops.corrupt import corrupt
from qgssl_fast.recipes import load_recipe

pytest.importorskip("qgssl_fast._C", reason="the C++ module is not built")

SIZES = [(1, 1, 1), (1, 37, 70), (1, 5, 64), (1, 63, 31), (1, 20, 130), (1, 48, 96), (4, 9, 33), (11, 3, 65), (7, 1, 1)]
OPS = ("erode", "dilate", "opening", "closing")


def sample(size: tuple[int, ...], density: float, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(size, generator=generator) < density).to(torch.uint8) * 255


@pytest.mark.parametrize("size", SIZES)
def test_morph(gpu, size):
    for op in OPS:
        for radius in (0, 1, 3, 40, 200):
            masks = sample((5, *size[size[0] == 1 :]), (0.02, 0.97)[radius % 2], radius)
            out = gpu.run(getattr(cuda, op), masks, radius)
            assert torch.equal(out, getattr(reference, op)(masks // 255, radius)), (op, radius)


def test_every_thread_of_a_block_knows_the_sum(library):
    seen = torch.empty(2, 96, dtype=torch.int64)
    library("cuda_on_cpu").sums(ctypes.c_void_p(seen.data_ptr()), 96)
    total = sum(o * i for o in range(3) for i in range(50))
    assert seen[0].tolist() == [total] * 96
    assert seen[1].tolist() == [total + (150 << 40)] * 96


@pytest.mark.parametrize(("pixels", "classes"), [(1, 2), (3, 2), (64, 2), (4096, 2), (4112, 7), (1001, 3), (70, 100)])
def test_overlap(gpu, pixels, classes):
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randint(0, classes, (3, 1, pixels), dtype=torch.uint8, generator=generator) for _ in range(2))
    assert torch.equal(gpu.run(cuda_overlap, a, b, classes), overlap(a, b, classes))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("size", [(9, 64), (7, 52), (5, 8), (6, 33), (3, 20)])
def test_out_is_a_channel(gpu, dtype, size):
    masks = sample((7, *size), 0.5, 1)
    recipe = load_recipe("default").without_bank()
    want = corrupt(masks, recipe, seed=5, backend="reference")
    for first in (0, 1):  # 16-byte pieces where the address allows them, else number by number
        memory = torch.full((first + 7 * 3 * size[0] * size[1] + 64,), 3).to(gpu.device, dtype)
        inputs = memory[first : first + 7 * 3 * size[0] * size[1]].view(7, 3, *size)
        gpu.run(cuda_corrupt, masks, recipe.tables, 5, torch.arange(7), out=inputs[:, 1])
        assert torch.equal(inputs[:, 1].cpu(), want.masks.to(dtype))
        assert bool((inputs[:, [0, 2]] == 3).all())
        assert bool((memory[:first] == 3).all())
        assert bool((memory[first + inputs.numel() :] == 3).all())
