"""Dice of pairs of masks on one thread, beside what people use; the limit is a copy of the same bytes.

pytest benchmarks/bench_overlap.py --benchmark-columns=min,median --benchmark-sort=min --benchmark-group-by=group
"""

from qgssl_fast.bench.overlap import CASES, DICE  # noqa: F401


def test_case(timed, case, contender):
    timed(case, contender.make())


def test_instruction_set(timed, isa):
    timed(DICE, DICE.contender("native").make())
