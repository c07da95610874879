"""Corruption of masks: the mix of each recipe, rows beside what people use, each row alone, threads, channels.

pytest benchmarks/bench_corrupt.py --benchmark-columns=min,median --benchmark-group-by=group --benchmark-sort=min
`masks_per_second` (of the median) is in the extra info of --benchmark-json. Peers that are not installed are skipped.
"""

from __future__ import annotations

import pytest
import torch

import qgssl_fast as qf
from qgssl_fast.bench.case import Work, Wrong, serves
from qgssl_fast.bench.corrupt import CASES, MIX, MIX_DEFAULT, SIDE, many, mix  # noqa: F401
from qgssl_fast.bench.shapes import lesions


def test_case(timed, case, contender):
    timed(case, contender.make())


@pytest.mark.parametrize("case", [MIX, MIX_DEFAULT], ids=lambda case: case.name)
def test_two_threads(timed, case):
    torch.set_num_threads(2)
    timed(case, case.contender("native").make())


@pytest.mark.parametrize("row", [row.name for row in qf.load_recipe("default").rows])
def test_row(timed, row):
    ours, _ = mix(lambda: qf.load_recipe("default").only(row), lambda: lesions(SIDE), 8)
    timed(MIX_DEFAULT, ours.make())


def test_instruction_set(timed, isa):
    timed(MIX, MIX.contender("native").make())


def test_into_a_channel(timed):
    """The mix straight into a float32 channel of a network's input."""
    masks, recipe = many(), qf.load_recipe("default").without_bank()
    inputs, draws = torch.zeros(len(masks), 4, SIDE, SIDE), iter(range(10**9))
    ids = torch.arange(len(masks))

    def check(got: object) -> None:
        kept = qf.corrupt(masks, recipe, sample_ids=ids)
        qf.corrupt(masks, recipe, sample_ids=ids, out=inputs[:, 3])
        if not torch.equal(inputs[:, 3], kept.masks.float()) or inputs[:, :3].any():
            raise Wrong("the channel is not what corrupt gives without it")

    def run() -> object:
        return qf.corrupt(masks, recipe, sample_ids=ids + len(masks) * next(draws), out=inputs[:, 3])

    serves("native")
    timed(MIX_DEFAULT, Work(run, len(masks), check))
