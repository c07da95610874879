"""The pages of figures are what the scripts make of the committed results, and every shortfall has its line."""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import measure
import performance

from qgssl_fast.bench import suite

ROOT = Path(__file__).parents[2]


@pytest.fixture
def results():
    return performance.Results(ROOT / "benchmarks" / "results")


@pytest.mark.parametrize(
    "name", ["docs/performance.md", "docs/training.md", "docs/losses.md", "docs/data.md", "README.md"]
)
def test_the_page_is_what_the_results_make(results, name):
    path = ROOT / name
    made = performance.pages(results, ROOT / "docs")[path]
    assert path.read_text(encoding="utf-8") == made, "run python benchmarks/performance.py"


def test_a_changed_result_changes_the_page(results):
    path = ROOT / "docs" / "performance.md"
    changed = copy.deepcopy(results)
    changed.row("erode", "ours")["per_second"] *= 2
    assert performance.pages(changed, ROOT / "docs")[path] != performance.pages(results, ROOT / "docs")[path]


def test_pictures_are_there(results):
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    for name in ("roofline", "scaling"):
        assert f"pictures/performance-{name}.png" in page
        assert (ROOT / "docs" / "pictures" / f"performance-{name}.png").stat().st_size > 10_000


def test_each_table_has_device_commit_and_command(results):
    for part in performance.PARTS:
        told = results.told(part)
        machine = results.of[part]["machine"]
        assert machine["processor"] in told
        assert f"commit {machine['commit'][:7]}" in told
        assert "`" in told


def test_a_faster_peer_is_told_with_its_reason(results):
    row = results.row("erode", "opencv")
    row["ratio"] = 0.5
    results.reasons["erode: opencv"] = {"slower": "It is a toy."}
    assert "erode 7x7, 224x224: `opencv` is 2.00 times as fast. It is a toy." in performance.slower(results)
    del results.reasons["erode: opencv"]
    assert performance.UNKNOWN in performance.slower(results)


def test_a_missed_aim_is_told_with_its_reason(results):
    results.row("erode", "opencv")["per_second"] = results.row("erode", "ours")["per_second"]
    results.reasons["erode: opencv"] = {"short": "It is a toy."}
    assert "1 instead of 3 times `opencv`: It is a toy." in performance.short(results)
    assert "| **short** |" in performance.aims(results)


def test_reasons_name_cases_that_are(results):
    cases = {case.name: {one.name for one in case.contenders} for case in suite.CASES}
    steps = results.of["steps"]["steps"]
    for key, kinds in results.reasons.items():
        case, contender = key.rsplit(": ", 1)
        assert contender in cases.get(case, ()) or (case in steps and contender == "published way"), key
        assert set(kinds) <= {"slower", "short"}


def test_no_case_is_left_out(results):
    measured = {row["case"] for row in results.rows}
    assert measured == {case.name for case in suite.CASES if case.family != "steps"}


def test_an_unknown_name_in_the_template(results):
    with pytest.raises(SystemExit, match="oddity"):
        performance.page(results, "{{oddity}}")


def test_parts_that_were_measured_at_this_commit_are_skipped(tmp_path):
    path = tmp_path / "x.json"
    assert not measure.done(path, "abc1234")
    for commit, now, there in (
        ("abc1234def", "abc1234", True), ("abc1234def+", "abc1234", False), ("abc1234def+", "abc1234+", True),
        ("fff", "abc1234", False),
    ):  # fmt: skip
        path.write_text(json.dumps({"machine": {"commit": commit}}))
        assert measure.done(path, now) is there


def test_every_part_has_a_command(tmp_path):
    for part in measure.PARTS:
        commands = measure.commands(part, tmp_path)
        assert commands
        assert any(str(measure.file_of(part, tmp_path).parent) in word for word in commands[-1])
