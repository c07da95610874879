"""Erosion of masks on one thread, beside what people use; the limit is a copy of the same bytes.

pytest benchmarks/bench_morph.py --benchmark-columns=min,median --benchmark-sort=min --benchmark-group-by=group
`masks_per_second` (of the median) is in the extra info of --benchmark-json. Peers not installed are skipped.
"""

from __future__ import annotations

import dataclasses
import functools

import pytest
import torch

from qgssl_fast import backend
from qgssl_fast.bench.case import Work, anything, copying, equal
from qgssl_fast.bench.morph import CASES, ERODE, RADIUS, images, ours, want  # noqa: F401
from qgssl_fast.ops.morph import erode


def test_case(timed, case, contender):
    timed(case, contender.make())


def test_instruction_set(timed, isa):
    timed(ERODE, ERODE.contender("native").make())


class TestFromMemory:
    """512 masks: no cache holds them."""

    CASE = dataclasses.replace(ERODE, title=ERODE.title + ", 512 masks")

    @pytest.fixture(scope="class")
    def many(self):
        return images().repeat(8, 1, 1)

    def test_ours(self, timed, many):
        timed(self.CASE, Work(ours(many, "native"), len(many), equal(want(images()).repeat(8, 1, 1))))

    def test_limit_copy(self, timed, many):
        timed(self.CASE, Work(copying(2 * many.numel()), len(many), anything))

    def test_limit_clone(self, timed, many):
        """Like ours, into memory that is asked for each time."""
        timed(self.CASE, Work(many.clone, len(many), equal(many)))


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
