"""What benchmarks/reached.py keeps of runs, and the README's lines that it makes of them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import reached


@pytest.fixture
def run(tmp_path):
    """Writes a finished run's metrics.json."""

    def write(name: str, commit: str = "abc1234def", root: str = "a/phantoms", command: str = "train --seed 3") -> Path:
        environment = {"processor": "P", "cpus": 2, "torch": "2", "python": "3", "commit": commit, "threads": 2}
        scores = {"mae": 0.1, "pearson": 0.9}
        one = {"best": {"dice": 0.8126, "hd95": 3.0}, "last": {"dice": 0.7, "hd95": 4.0}, "seconds": 5.0}
        told = {
            "command": f"qgssl-fast {command} --out {name}", "seed": 3, "seconds": 71.2, "environment": environment,
            "data": {"root": root, "train": 12, "val": 1, "test": 2, "unlabeled": 3, "size": [8, 8], "notes": []},
            "quality": {"all": scores, "weak": scores, "seconds": 2.0}, "segmenter": {"SUP": one, "QAR": one},
        }  # fmt: skip
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.json").write_text(json.dumps(told))
        return tmp_path / name

    return write


def test_lines_of_the_readme(run, tmp_path, monkeypatch):
    four = run("a", command=f"train --seed 3 {reached.ALL_FOUR}")
    (tmp_path / "p.json").write_text(json.dumps(reached.collected([four, run("b", root="sets/ph2")])))
    monkeypatch.setattr(reached, "FILES", ("p",))
    lines = reached.block(tmp_path).splitlines()
    assert lines[0] == "2 cores of an P, torch 2, commit abc1234:"
    both = "| 0.813 | – | – | 0.813 | 0.100, 0.900 | 1 min 11 s |"
    assert lines[-2:] == [
        f"| phantoms, seed 3 | 12 | `train --seed 3` + {both}", f"| PH2 | 12 | `train --seed 3` {both}",
    ]  # fmt: skip


def test_runs_of_one_commit_only(run):
    with pytest.raises(SystemExit, match="different machines or commits"):
        reached.collected([run("a"), run("b", commit="fff")])
