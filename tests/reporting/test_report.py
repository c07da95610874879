"""A report holds what the run wrote, escapes it, and does without what is missing."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from qgssl_fast.errors import InputError
from qgssl_fast.reporting.report import write_report

METRICS = {
    "data": {
        "root": "<script>alert('x')</script>", "train": 12, "val": 16, "test": 64, "unlabeled": 240, "size": [64, 64],
        "notes": ["val.csv <is> missing"],
    },
    "quality": {
        "split": "test", "all": {"mae": 0.0512, "pearson": 0.9512, "spearman": 0.9, "n": 700},
        "image_blacked_out": {"mae": 0.2, "pearson": 0.31}, "later": {"mae": None},
    },
    "segmenter": {
        "SUP": {"best": {"dice": 0.8, "dice_sd": 0.1, "iou": 0.7, "hd95": 12.3}, "last": {"dice": 0.79}, "seconds": 75},
        "PL-QW": {"best": {"dice": 0.85, "dice_sd": 0.05, "iou": 0.75, "hd95": 9}, "best_epoch": 17, "seconds": 4000},
        "<i>": {"val_dice_best": 0.5},
    },
    "environment": {"torch": "2.13", "device": "cpu"}, "command": "qgssl-fast train --out 'a & b'", "seconds": 131.2,
    "seed": 0,
}  # fmt: skip


class Outline(HTMLParser):
    """Headings, cells and pictures; fails on tags that are not closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.texts, self.pictures = [], {}, []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        if tag == "img":
            self.pictures.append(dict(attributes))
        if tag not in ("img", "meta"):
            self.open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        for tag in set(self.open):
            self.texts[tag][-1] += data


def fill(run):
    (run / "figures").mkdir(parents=True)
    (run / "metrics.json").write_text(json.dumps(METRICS))
    (run / "config.yaml").write_text("preset: cpu\nrecipe: <default>\n")
    rows = [{"stage": f"segmenter/{m}", "step": s, "loss": 1 / (s + 1)} for m in ("SUP", "PL-QW") for s in range(3)]
    (run / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"stage": "segm')
    for name in ("05-dice", "40-overlays-PL-QW", "20-quality", "30-corruptions", "99-mine & yours", ".half.12"):
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(run / "figures" / f"{name}.png")


def test_a_full_run(tmp_path):
    run = tmp_path / "run <1>"
    fill(run)
    path = write_report(run)
    assert path == run / "report.html"
    text = path.read_text(encoding="utf-8")
    page = Outline(text)
    assert page.texts["h1"] == ["run <1>"]
    assert page.texts["h2"] == [
        "Segmentation", "Quality predictor", "Training", "Corruptions", "Other pictures", "Configuration",
        "Environment",
    ]  # fmt: skip
    assert [picture["alt"] for picture in page.pictures] == [
        "Dice of each test image", "Lowest and highest Dice: PL-QW", "Predicted against true Dice", "Curves",
        "What the predictor learns from", "mine & yours",
    ]  # fmt: skip
    assert all(picture["src"].startswith("data:image/png;base64,") for picture in page.pictures)
    assert not re.search(r"<script|https?://|<i>", text)
    cells = page.texts["td"]
    assert cells[:9] == ["SUP", "0.800 ± 0.100", "", "0.790", "0.700", "12.3", "–", "", "1 min 15 s"]
    assert cells[9:18] == ["PL-QW", "0.850 ± 0.050", "+0.050", "–", "0.750", "9.0", "–", "17", "1 h 06 min"]
    assert cells[18:20] == ["<i>", "–"]
    assert cells[27:32] == ["all fixed masks", "0.051", "0.951", "0.900", "700"]
    assert "<script>alert('x')</script>" in page.texts["dd"]
    assert page.texts["pre"] == ["preset: cpu\nrecipe: <default>\n"]
    assert "val.csv <is> missing" in page.texts["li"]
    assert "log.jsonl: 1 line could not be read" in page.texts["p"]
    assert (run / "figures" / "10-curves.png").stat().st_size > 1000


def test_again_gives_the_same(tmp_path):
    fill(tmp_path / "run")
    first = write_report(tmp_path / "run").read_bytes()
    assert write_report(tmp_path / "run").read_bytes() == first


@pytest.mark.parametrize("missing", ["metrics.json", "config.yaml", "log.jsonl", "figures"])
def test_missing_parts(tmp_path, missing):
    run = tmp_path / "run"
    fill(run)
    if missing == "figures":
        for file in (run / "figures").iterdir():
            file.unlink()
        (run / "figures").rmdir()
    else:
        (run / missing).unlink()
    headings = Outline(write_report(run).read_text(encoding="utf-8")).texts["h2"]
    assert ("Configuration" in headings) == (missing != "config.yaml")
    assert ("Environment" in headings) == (missing != "metrics.json")
    assert ("Training" in headings) == (missing != "log.jsonl")
    assert ("Corruptions" in headings) == (missing != "figures")


@pytest.mark.parametrize("text", ["{", "[1, 2]"])
def test_unreadable_metrics(tmp_path, text):
    (tmp_path / "metrics.json").write_text(text)
    page = Outline(write_report(tmp_path).read_text(encoding="utf-8"))
    assert any("metrics.json could not be read" in note for note in page.texts["p"])


def test_metrics_of_another_shape(tmp_path):
    metrics = {"data": 3, "quality": [], "segmenter": {"SUP": None}, "environment": "cpu", "seed": {}}
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    assert Outline(write_report(tmp_path).read_text(encoding="utf-8")).texts["td"][0] == "SUP"


def test_empty_folder(tmp_path):
    assert "This run has written no figures yet" in write_report(tmp_path).read_text(encoding="utf-8")


def test_no_folder(tmp_path):
    with pytest.raises(InputError, match="no such run folder: "):
        write_report(tmp_path / "nowhere")
