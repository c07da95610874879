"""Erosion of masks on one thread, beside what people use; the limit is a copy of the same bytes.

pytest benchmarks/bench_morph.py --benchmark-columns=min,median --benchmark-sort=min --benchmark-group-by=group
`masks_per_second` (of the median) is in the extra info of --benchmark-json. Peers not installed are skipped.
"""

from __future__ import annotations

import functools

import pytest
import torch

from qgssl_fast import backend
from qgssl_fast.bench.case import Work, equal
from qgssl_fast.bench.morph import CASES, ERODE, ERODE_MANY, RADIUS, images, want  # noqa: F401
from qgssl_fast.ops.morph import erode


def test_case(timed, case, contender):
    timed(case, contender.make())


def test_instruction_set(timed, isa):
    timed(ERODE, ERODE.contender("native").make())


def test_clone_from_memory(timed):
    """Like ours, into memory that is asked for each time."""
    many = images().repeat(8, 1, 1)
    timed(ERODE_MANY, Work(many.clone, len(many), equal(many)))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.benchmark(group="GPU: " + ERODE.title)
class TestGpu:
    @pytest.mark.parametrize("name", ["cuda", "triton", "native", "reference"])
    def test_ours(self, per_second, name):
        masks = images().cuda().repeat(64, 1, 1)
        if why_not := backend.refusal(name, masks.device):
            pytest.skip(why_not)
        run = functools.partial(erode, masks, RADIUS, backend=name)
        per_second(run, len(masks), want(images()).repeat(64, 1, 1))

    def test_limit_copy(self, per_second):
        masks = images().cuda().repeat(64, 1, 1)
        out = torch.empty_like(masks)
        per_second(lambda: out.copy_(masks), len(masks), images().repeat(64, 1, 1))
