"""The CUDA files of morph and overlap on the CPU, and the teams' sums, against the reference."""

from __future__ import annotations

import ctypes

import pytest
import torch

from qgssl_fast.kernels.reference import morph as reference
from qgssl_fast.kernels.reference.overlap import overlap

SIZES = [(1, 1, 1), (1, 37, 70), (1, 5, 64), (1, 63, 31), (1, 20, 130), (1, 48, 96), (4, 9, 33), (11, 3, 65), (7, 1, 1)]
OPS = ("erode", "dilate", "opening", "closing")  # by their numbers


def sample(size: tuple[int, ...], density: float, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(size, generator=generator) < density).to(torch.uint8) * 255


def pointer(tensor: torch.Tensor | None) -> ctypes.c_void_p:
    return ctypes.c_void_p(0 if tensor is None else tensor.data_ptr())


@pytest.fixture(scope="module")
def cuda(library):
    lib = library("cuda_on_cpu")
    lib.morph_scratch.restype = ctypes.c_int64
    yield lib
    lib.set_machine(227 << 10, 2)


# Shared memory that holds all, or none: then the planes lie in scratch, and one processor's two blocks take turns.
@pytest.mark.parametrize("limit", [227 << 10, 1025])
@pytest.mark.parametrize("size", SIZES)
def test_cuda_files_run_on_the_cpu(cuda, size, limit):
    cuda.set_machine(limit, 1)
    for op, name in enumerate(OPS):
        for radius in (0, 1, 3, 40, 200):
            masks = sample((5, *size), (0.02, 0.97)[radius % 2], radius)
            guard = torch.full((masks.numel() + 64,), 77, dtype=torch.uint8)
            out = guard[32:-32].view(masks.shape)
            words = cuda.morph_scratch(ctypes.c_int64(5), *size)
            scratch = torch.full((words + 1,), 123, dtype=torch.int32)
            where = (ctypes.c_int64(5), *size, pointer(scratch if words else None), ctypes.c_int64(words))
            assert cuda.morph(pointer(masks), pointer(out), op, radius, *where) == 0
            assert torch.equal(out, getattr(reference, name)(masks // 255, radius)), (name, radius)
            assert bool((guard[:32] == 77).all())
            assert bool((guard[-32:] == 77).all())
            assert int(scratch[-1]) == 123


def test_every_thread_of_a_block_knows_the_sum(cuda):
    seen = torch.empty(2, 96, dtype=torch.int64)
    cuda.sums(pointer(seen), 96)
    total = sum(o * i for o in range(3) for i in range(50))
    assert seen[0].tolist() == [total] * 96
    assert seen[1].tolist() == [total + (150 << 40)] * 96


def test_cuda_refuses_scratch_that_is_too_small(cuda):
    cuda.set_machine(1025, 1)
    masks = sample((3, 1, 40, 80), 0.3, 0)
    out, scratch = torch.empty_like(masks), torch.zeros(8, dtype=torch.int32)
    where = (ctypes.c_int64(3), 1, 40, 80, pointer(scratch), ctypes.c_int64(8))
    assert cuda.morph(pointer(masks), pointer(out), 0, 1, *where) == 1


@pytest.mark.parametrize(("pixels", "classes"), [(1, 2), (3, 2), (4096, 2), (1001, 3), (70, 100)])
def test_cuda_overlap_on_the_cpu(cuda, pixels, classes):
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randint(0, classes, (3, pixels), dtype=torch.uint8, generator=generator) for _ in range(2))
    counts = torch.empty(3, classes - 1, 3, dtype=torch.int32)
    where = (classes, ctypes.c_int64(3), ctypes.c_int64(pixels))
    assert cuda.overlap(pointer(a), pointer(b), pointer(counts), *where) == 0
    assert torch.equal(counts, overlap(a, b, classes))
