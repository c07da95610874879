"""The core under a shuffled team and the CUDA files on the CPU, against the reference."""

from __future__ import annotations

import ctypes

import pytest
import torch

from qgssl_fast.kernels.reference import morph as reference
from qgssl_fast.kernels.reference.overlap import overlap

ERODE, DILATE = 16, 17
SIZES = [(1, 1, 1), (1, 37, 70), (1, 5, 64), (1, 63, 31), (1, 20, 130), (1, 48, 96), (4, 9, 33), (11, 3, 65), (7, 1, 1)]
PROGRAMS = [
    [],
    [(DILATE, 1)],
    [(ERODE, 2)],
    [(ERODE, 3), (DILATE, 3)],
    [(DILATE, 40), (ERODE, 33)],
    [(DILATE, 1), (ERODE, 1), (ERODE, 1), (DILATE, 200), (ERODE, 64), (ERODE, 2)],
]


def encode(steps: list[tuple[int, int]]) -> torch.Tensor:
    program = torch.zeros(6, 8, dtype=torch.int32)
    for i, (op, radius) in enumerate(steps):
        program[i, 0], program[i, 1] = op, radius
    return program


def expected(masks: torch.Tensor, steps: list[tuple[int, int]]) -> torch.Tensor:
    out = (masks != 0).to(torch.uint8)
    for op, radius in steps:
        out = (reference.erode if op == ERODE else reference.dilate)(out, radius)
    return out


def sample(size: tuple[int, ...], density: float, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(size, generator=generator) < density).to(torch.uint8) * 255


def pointer(tensor: torch.Tensor | None) -> ctypes.c_void_p:
    return ctypes.c_void_p(0 if tensor is None else tensor.data_ptr())


@pytest.fixture(scope="module")
def shuffled(library):
    return library("shuffled")


@pytest.fixture(scope="module")
def cuda(library):
    lib = library("cuda_on_cpu")
    lib.scratch_words.restype = ctypes.c_int64
    yield lib
    lib.set_machine(227 << 10, 2)


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("size", SIZES)
def test_no_step_depends_on_order(shuffled, size, bits):
    for seed, steps in enumerate(PROGRAMS):
        masks = sample((1, *size), (0.02, 0.97)[seed % 2], seed)
        out, counts, program = torch.empty_like(masks), torch.empty(3, dtype=torch.int32), encode(steps)
        shuffled.shuffled(bits, pointer(masks), pointer(out), pointer(counts), pointer(program), *size, seed)
        want = expected(masks, steps)
        assert torch.equal(out, want), steps
        assert torch.equal(counts, overlap(want, masks)[0, 0])


# Shared memory that holds all, or none: then the planes lie in scratch, and one processor's two blocks take turns.
@pytest.mark.parametrize("limit", [227 << 10, 1025])
@pytest.mark.parametrize("size", SIZES)
def test_cuda_files_run_on_the_cpu(cuda, size, limit):
    cuda.set_machine(limit, 1)
    batch = 5
    for seed, steps in enumerate(PROGRAMS):
        masks = sample((batch, *size), (0.02, 0.97)[seed % 2], seed)
        counts = torch.empty(batch, 3, dtype=torch.int32) if seed % 2 else None
        run_cuda(cuda, masks, encode(steps), counts, expected(masks, steps))


def test_cuda_takes_one_program_a_mask(cuda):
    cuda.set_machine(227 << 10, 1)
    masks = sample((len(PROGRAMS), 1, 40, 80), 0.3, 0)
    want = torch.stack([expected(mask[None], steps)[0] for mask, steps in zip(masks, PROGRAMS)])
    programs = torch.stack([encode(steps) for steps in PROGRAMS])
    run_cuda(cuda, masks, programs, torch.empty(len(PROGRAMS), 3, dtype=torch.int32), want)


def run_cuda(cuda, masks, programs, counts, want):
    batch, *size = masks.shape
    guard = torch.full((masks.numel() + 64,), 77, dtype=torch.uint8)
    out = guard[32:-32].view(masks.shape)
    words = cuda.scratch_words(ctypes.c_int64(batch), *size, 3 if counts is not None else 2)
    scratch = torch.full((words + 1,), 123, dtype=torch.int32) if words else None
    where = (ctypes.c_int64(batch), *size, pointer(scratch), ctypes.c_int64(words))
    assert (
        cuda.corrupt(pointer(masks), pointer(out), pointer(counts), pointer(programs), programs.dim() == 2, *where) == 0
    )
    assert torch.equal(out, want)
    assert bool((guard[:32] == 77).all())
    assert bool((guard[-32:] == 77).all())
    assert scratch is None or int(scratch[-1]) == 123
    if counts is not None:
        assert torch.equal(counts, overlap(want, masks)[:, 0])


def test_every_thread_of_a_block_knows_the_sum(cuda):
    seen = torch.empty(2, 96, dtype=torch.int32)
    cuda.sums(pointer(seen), 96)
    total = sum(o * i for o in range(3) for i in range(50))
    assert seen[0].tolist() == [total] * 96
    assert seen[1].tolist() == [total + 150] * 96


def test_cuda_refuses_scratch_that_is_too_small(cuda):
    cuda.set_machine(1025, 1)
    masks, program = sample((3, 1, 40, 80), 0.3, 0), encode([(ERODE, 1)])
    out, scratch = torch.empty_like(masks), torch.zeros(8, dtype=torch.int32)
    where = (ctypes.c_int64(3), 1, 40, 80, pointer(scratch), ctypes.c_int64(8))
    assert cuda.corrupt(pointer(masks), pointer(out), pointer(None), pointer(program), 1, *where) == 1


@pytest.mark.parametrize(("pixels", "classes"), [(1, 2), (3, 2), (4096, 2), (1001, 3), (70, 100)])
def test_cuda_overlap_on_the_cpu(cuda, pixels, classes):
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randint(0, classes, (3, pixels), dtype=torch.uint8, generator=generator) for _ in range(2))
    counts = torch.empty(3, classes - 1, 3, dtype=torch.int32)
    where = (classes, ctypes.c_int64(3), ctypes.c_int64(pixels))
    assert cuda.overlap(pointer(a), pointer(b), pointer(counts), *where) == 0
    assert torch.equal(counts, overlap(a, b, classes))
