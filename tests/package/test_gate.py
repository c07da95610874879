"""The gate of key ratios: what fell fails by name after three tries, what cannot be had is skipped by name."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import gate

from qgssl_fast.bench import suite
from qgssl_fast.bench.case import Case, Contender, Work, Wrong, anything, need

COMMITTED = {"machine": {"processor": "this"}, "ratios": {"avx2": {"toy over peer": 2.0, "other over toy's peer": 4.0}}}
HERE_NOW = {"processor": "this", "isa": "avx2"}


def case(name, check=anything, peer="peer", make=None):
    def work():
        return Work(lambda: None, 1, check)

    ours, other = Contender("native", "ours", work), Contender(peer, "peer", make or work)
    return Case(name, "toys", name, "masks", 1, (ours, other))


@pytest.fixture
def told(monkeypatch, capsys):
    """told(values, ...): runs the gate with these measured ratios; its code, what it said, and what was left over."""
    monkeypatch.setattr(gate, "RATIOS", [("toy", "toy", "peer")])
    monkeypatch.setattr(suite, "CASES", (case("toy"), case("other")))

    def run(values, committed=COMMITTED, found=HERE_NOW):
        left = list(values)
        monkeypatch.setattr(gate, "measured", lambda works, seconds: left.pop(0))
        return gate.gate(committed, found), capsys.readouterr().out, left

    return run


def test_as_good_as_before(told):
    code, said, left = told([1.51, 0.0])
    assert code == 0
    assert left == [0.0]
    assert "toy over peer: 1.51; committed 2, wanted 1.5" in said


def test_a_fall_fails_after_three_tries(told):
    code, said, left = told([1.4, 1.49, 1.3, 9.0])
    assert code == 1
    assert left == [9.0]
    assert "toy over peer: FAILED, 1.4, 1.49, 1.3; committed 2" in said
    assert "1 of 1 ratios failed: toy over peer" in said


def test_a_bad_moment_is_forgiven(told):
    code, said, _ = told([0.3, 1.2, 1.9])
    assert code == 0
    assert "0.3, 1.2, 1.9" in said


def test_another_processor_may_differ_by_half(told):
    there = {"processor": "that", "isa": "avx2"}
    code, said, _ = told([1.1], found=there)
    assert code == 0
    assert "committed on this, this is that" in said
    assert told([0.9, 0.9, 0.9], found=there)[0] == 1


def test_another_instruction_set_is_skipped_by_name(told):
    code, said, _ = told([], found={"processor": "this", "isa": "portable"})
    assert code == 0
    assert "toy over peer: skipped, none is committed for instruction set portable" in said


def test_a_peer_that_is_missing_is_skipped_by_name(told, monkeypatch):
    monkeypatch.setattr(suite, "CASES", (case("toy", make=lambda: need("no_such_package")),))
    code, said, _ = told([])
    assert code == 0
    assert "toy over peer: skipped, no_such_package is not installed" in said


def test_a_wrong_result_fails_without_a_time(told, monkeypatch):
    def red(got):
        raise Wrong("3 pixels differ")

    monkeypatch.setattr(suite, "CASES", (case("toy", red),))
    code, said, left = told([9.0])
    assert code == 1
    assert left == [9.0]
    assert "toy over peer: FAILED, wrong: 3 pixels differ" in said


def test_yardsticks_of_other_cases(told, monkeypatch):
    monkeypatch.setattr(gate, "RATIOS", [("other", "toy", "peer")])
    code, said, _ = told([3.5])
    assert code == 0
    assert "other over toy's peer: 3.5; committed 4, wanted 3" in said


def test_what_is_committed_are_the_ratios():
    found = json.loads(gate.COMMITTED.read_text(encoding="utf-8"))
    names = {gate.name_of(*ratio) for ratio in gate.RATIOS}
    for isa, ratios in found["ratios"].items():
        assert set(ratios) == names, isa
        assert all(value > 0 for value in ratios.values())
    assert found["machine"]["processor"]
    assert found["command"].startswith("python benchmarks/gate.py")


def test_a_ratio_is_of_one_thing():
    fast, slow = (Work(lambda n=n: sum(range(n)), count, anything) for n, count in ((2000, 1), (20000, 2)))
    assert 2 < gate.measured((fast, slow), 0.02) < 12
