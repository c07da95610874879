"""Elastic fields and affine maps on one thread, beside what people use; the limit is a copy of the same bytes.

pytest benchmarks/bench_warp.py --benchmark-columns=min,median --benchmark-sort=min --benchmark-group-by=group
`masks_per_second` (of the median) is in the extra info of --benchmark-json. Peers not installed are skipped.
"""

import functools

import pytest

from qgssl_fast.bench.case import Work, equal, serves
from qgssl_fast.bench.warp import AFFINE, CASES, ELASTIC, images, turning  # noqa: F401


def test_case(timed, case, contender):
    timed(case, contender.make())


def test_instruction_set(timed, isa):
    timed(ELASTIC, ELASTIC.contender("native").make())


@pytest.mark.parametrize("name", ["native", "reference"])
def test_truncating(timed, name):
    """The published way of rounding."""
    masks = images()
    ways = {backend: functools.partial(turning, True, masks, backend) for backend in ("native", "reference")}
    timed(AFFINE, Work(ways[serves(name)](), len(masks), equal(ways["reference"]()())))
