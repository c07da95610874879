"""Augmentation of 224x224 colour images with their masks, and of 64^3 volumes, on one thread, beside what people use.

pytest benchmarks/bench_augment.py --benchmark-columns=min,median --benchmark-sort=min --benchmark-group-by=group
`masks_per_second` counts samples. Peers not installed are skipped.
"""

from __future__ import annotations

import functools

import pytest
import torch

from qgssl_fast.bench.augment import ALL, AUGMENT, CASES, images, kornia  # noqa: F401
from qgssl_fast.bench.case import Work, Wrong
from qgssl_fast.ops.augment import augment, augment_views, strong_view, weak_view


def test_case(timed, case, contender):
    timed(case, contender.make())


def test_instruction_set(timed, isa):
    timed(AUGMENT, AUGMENT.contender("native").make())


def test_two_views(timed):
    ids = torch.arange(32)
    views = functools.partial(augment_views, *images(), weak_view(), strong_view(), seed=0, sample_ids=ids)

    def check(got: object) -> None:
        for mine, truth in zip(got, views(backend="reference")):
            if (mine.float() - truth.float()).abs().max() > 1e-5:
                raise Wrong("not what the reference gives")

    timed(AUGMENT, Work(views, 32, check))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.benchmark(group="GPU: " + AUGMENT.title)
class TestGpu:
    def test_ours(self, per_second):
        x, m = (each.cuda() for each in images())
        ids = torch.arange(32).cuda()
        per_second(lambda: augment(x, m, ALL, seed=0, sample_ids=ids)[0], 32, None)

    def test_kornia(self, per_second):
        per_second(kornia(*(each.cuda() for each in images())), 32, None)
