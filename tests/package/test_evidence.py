"""The evidence script: settings that can be trained, rows once, and a table that says how sure it is."""

from __future__ import annotations

import csv
import json
import math
import statistics
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import evidence
import evidence_pages

from qgssl_fast.methods import PUBLISHED, resolve_name
from qgssl_fast.training.pairs import make_pair
from qgssl_fast.training.settings import check


def write(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["data", "seed", "group", "method", "dice", "dice_last", "iou", "hd95"])
        writer.writeheader()
        writer.writerows(dict(zip(writer.fieldnames, (*row, row[-1], row[-1] - 0.1, 5))) for row in rows)


def test_every_group_can_be_trained(tmp_path):
    from qgssl_fast.quality import QualityPredictor

    predictor = QualityPredictor("small", options={"features": [2], "hidden": 1, "dense": 1})
    for group, (_, methods) in evidence.GROUPS.items():
        for paper in (False, True):
            config = evidence.settings("ph2", tmp_path, 1, group, tmp_path / "out", paper)
            check(config)
            assert (config.seed, config.images.labelled) == (1, 14)
        for name in methods:
            make_pair(*resolve_name(name), predictor, config.segmenter)
    assert set(PUBLISHED) <= {name for _, methods in evidence.GROUPS.values() for name in methods}


def test_volumes_have_sizes_of_their_own(tmp_path):
    (tmp_path / "imagesTr").mkdir()
    (tmp_path / "imagesTr" / "case.nii.gz").touch()
    for group in evidence.GROUPS:
        for paper in (False, True):
            config = evidence.settings("hippocampus", tmp_path, 0, group, tmp_path / "out", paper)
            check(config)
            assert (config.images.labelled, config.quality.soft) == (None, 0)
            assert (len(config.images.size), bool(config.quality.dense)) == (2 if paper else 3, group != "plain")


def test_table_pairs_seeds(tmp_path):
    sup, other = [0.8, 0.9, 0.7], [0.82, 0.93, 0.71]
    rows = [("ph2", s, "core", "SUP", d) for s, d in enumerate(sup)]
    rows += [("ph2", s, "core", "PL-QW", d) for s, d in enumerate(other)] + [("ph2", 0, "all", "CPS", 0.85)]
    write(tmp_path / "e.csv", rows)
    lines = evidence.table(tmp_path / "e.csv").splitlines()[2:]
    half = 4.303 * statistics.stdev([0.02, 0.03, 0.01]) / math.sqrt(3)
    assert lines[0] == "| ph2 | SUP | full | 3 | 0.800 ± 0.100 | 0.800 | 0.700 | 5.0 px | – | – | – |"
    span = f"{0.02 - half:+.3f} to {0.02 + half:+.3f}"
    assert (
        lines[1] == f"| ph2 | PL-QW | full | 3 | 0.820 ± 0.110 | 0.820 | 0.720 | 5.0 px | +0.020 | {span} | not sure |"
    )
    assert f"-0.020 | {-0.02 - half:+.3f}" in evidence.table(tmp_path / "e.csv", "PL-QW").splitlines()[2]
    assert lines[2].endswith("| 1 | 0.850 | 0.850 | 0.750 | 5.0 px | – | – | – |")
    assert evidence.done(tmp_path / "e.csv") == {("ph2", s, "core") for s in "012"} | {("ph2", "0", "all")}
    assert evidence.done(tmp_path / "none.csv") == set()


@pytest.mark.parametrize(("shift", "says"), [(0.05, "better"), (-0.05, "worse"), (0.0, "not sure")])
def test_what_the_table_says(tmp_path, shift, says):
    rows = [("x", s, "core", "SUP", 0.8) for s in range(3)]
    write(tmp_path / "e.csv", rows + [("x", s, "core", "QAR", 0.8 + shift + 0.001 * (s - 1)) for s in range(3)])
    assert evidence.table(tmp_path / "e.csv").splitlines()[3].endswith(f"| {says} |")


def test_what_the_predictors_say(tmp_path):
    for seed, mae in enumerate((0.1, 0.2)):
        out = tmp_path / f"my-set-{seed}-core"
        out.mkdir()
        one = {"mae": mae, "pearson": 1, "spearman": 0}
        parts = {part: one for part, _ in evidence_pages.PREDICTOR.values()}
        (out / "metrics.json").write_text(json.dumps({"quality": {**parts, "ece": 0.05}}))
    lines = evidence_pages.predictors(evidence_pages.collect(tmp_path)).splitlines()[2:]
    assert (
        lines[0] == "| my-set | 2 | corrupted masks | 0.150 ± 0.071 | 1.000 ± 0.000 | 0.000 ± 0.000 | 0.050 ± 0.000 |"
    )
    assert len(lines) == len(evidence_pages.PREDICTOR)


def test_what_the_guard_did(tmp_path):
    for group, last in (("unguarded", 0.5), ("guarded", 0.8)):
        for seed in (0, 1):
            out = tmp_path / f"x-{seed}-{group}"
            out.mkdir()
            looks = [{"val_student_quality": 0.7, "val_student_dice": 0.6, "val_dice": 0.6, "guard": 1}]
            looks += [
                looks[0] | {"lambda_regularizer": 5.0, "val_student_quality": 0.9, "val_student_dice": last - seed / 10}
            ]
            rows = [{"stage": "segmenter/QAR", "epoch": 2 * k} | look for k, look in enumerate(looks)]
            rows += [{"stage": "quality", "epoch": 1}, {"stage": "segmenter/QAR", "epoch": 1}]
            (out / "log.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    found = evidence_pages.collect_guard(tmp_path)
    lines = evidence_pages.guard_table(found).splitlines()[2:]
    assert lines[0] == "| x | 2 | 0 | 0 | 0.700 | 0.600 | 0.600 | 0 | 0.700 | 0.600 | 0.600 |"
    assert lines[1] == "| x | 2 | 2 | 5 | 0.900 | 0.450 | 0.600 | 5 | 0.900 | 0.750 | 0.600 |"
    evidence_pages.draw_guard(found, tmp_path / "guard.png")
    assert (tmp_path / "guard.png").stat().st_size > 1000
