"""The report of a run: one HTML file with its pictures inside."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from qgssl_fast.errors import InputError
from qgssl_fast.files import write_text
from qgssl_fast.reporting.figures import training_curves
from qgssl_fast.reporting.page import (
    KINDS,
    OTHER,
    PAGE,
    decimal,
    duration,
    kind_of,
    number,
    picture,
    plain,
    spread,
    table,
)

_SECTIONS = ("Segmentation", "Quality predictor", "Training", "Corruptions", "Other pictures")
_QUALITY_ROWS = {
    "all": "all fixed masks",
    "corrupted": "corrupted masks",
    "weak": "masks of weak models",
    "segmenter": "masks of the trained segmenters (mean over methods)",
    "image_blacked_out": "fixed masks, image blacked out",
    "image_shuffled": "fixed masks, images shuffled",
}


def write_report(run_folder: str | Path) -> Path:
    """Write `report.html` into a run folder from its config.yaml, metrics.json, log.jsonl and figures/*.png.

    The file is self-contained: pictures inside, no script, nothing fetched. What a run has not (yet) written is left
    out; what cannot be read is named at the top. The training curves are drawn here, from log.jsonl into
    figures/10-curves.png. The other pictures' names, after an optional number, say where they belong: dice*,
    overlays*, quality*, corruptions*. No such folder: InputError.
    """
    run = Path(run_folder)
    if not run.is_dir():
        raise InputError(f"report: no such run folder: {run}")
    notes: list[str] = []
    metrics = _metrics(run / "metrics.json", notes)
    rows = _log(run / "log.jsonl", notes)
    if any("stage" in row for row in rows):
        try:
            training_curves(rows, run / "figures" / "10-curves.png")
        except InputError as error:
            notes.append(str(error))
    config = _text(run / "config.yaml", notes)

    sections: dict[str, list[str]] = {name: [] for name in _SECTIONS}
    sections["Segmentation"] += _segmenters(metrics)
    sections["Quality predictor"] += _quality(metrics)
    kinds = [*KINDS, OTHER]
    pictures = sorted((run / "figures").glob("[!.]*.png"), key=lambda path: (kinds.index(kind_of(path)), path.name))
    for path in pictures:
        sections[kind_of(path).section].append(picture(path))
    body = [_head(run, metrics)]
    body += [f'<p class="note">{escape(note)}</p>' for note in notes]
    if not metrics and not rows and not pictures:
        body.append('<p class="note">This run has written no figures yet.</p>')
    body += [f"<h2>{name}</h2>\n" + "\n".join(parts) for name, parts in sections.items() if parts]
    body += _tail(metrics, config)
    return write_text(run / "report.html", PAGE.format(title=escape(run.resolve().name), body="\n".join(body)))


def _head(run: Path, metrics: Mapping[str, Any]) -> str:
    data = _dict(metrics.get("data"))
    counts = [f"{plain(data[k])} {k}" for k in ("train", "val", "test", "unlabeled") if k in data]
    size = data.get("size")
    facts = [
        ("data", str(data.get("root", ""))),
        ("images", ", ".join(counts)),
        ("size", " × ".join(map(str, size)) + " px" if isinstance(size, list) else ""),
        ("seed", plain(metrics.get("seed"))),
        ("time", duration(metrics.get("seconds"))),
        ("command", str(metrics.get("command", ""))),
    ]
    items = "".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in facts if value)
    remarks = data.get("notes")
    said = "".join(f"<li>{escape(str(note))}</li>" for note in remarks) if isinstance(remarks, list) else ""
    return f"<h1>{escape(run.resolve().name)}</h1>\n<dl>{items}</dl>" + (f"<ul>{said}</ul>" if said else "")


def _segmenters(metrics: Mapping[str, Any]) -> list[str]:
    methods = {str(k): _dict(v) for k, v in _dict(metrics.get("segmenter")).items()}
    if not methods:
        return []
    scores = {name: number(_dict(found.get("best")).get("dice")) for name, found in methods.items()}
    top = max((score for score in scores.values() if score is not None), default=None)
    base = scores.get("SUP")
    head = ["method", "Dice, best", "against SUP", "Dice, last", "IoU", "HD95", "val Dice", "best epoch", "time"]
    rows: list[list[str]] = []
    strong = set()
    for name, found in methods.items():
        best, last, score = _dict(found.get("best")), _dict(found.get("last")), scores[name]
        if score is not None and score == top:
            strong.add(len(rows))
        rows.append(
            [
                name,
                spread(best, "dice"),
                f"{score - base:+.3f}" if score is not None and base is not None and name != "SUP" else "",
                spread(last, "dice"),
                decimal(best.get("iou")),
                decimal(best.get("hd95"), 1),
                decimal(found.get("val_dice_best")),
                plain(found.get("best_epoch")),
                duration(found.get("seconds")),
            ]
        )
    text = (
        "Means over the test images ± their standard deviation. <em>Best</em> are the weights with the highest "
        "validation Dice (IoU and HD95 are theirs), <em>last</em> those at the end of training. HD95 in pixels unless "
        "the data has a spacing; an empty mask against one that is not counts as Dice 0 and the image’s diagonal."
    )
    return [table(head, rows, strong), f'<p class="caption">{text}</p>']


def _quality(metrics: Mapping[str, Any]) -> list[str]:
    quality = _dict(metrics.get("quality"))
    found = {str(k): v for k, v in quality.items() if isinstance(v, Mapping)}
    order = [k for k in _QUALITY_ROWS if k in found] + [k for k in found if k not in _QUALITY_ROWS]
    if not order:
        return []
    rows = [
        [
            _QUALITY_ROWS.get(k, k),
            *(decimal(found[k].get(m)) for m in ("mae", "pearson", "spearman")),
            plain(found[k].get("n")),
        ]
        for k in order
    ]
    text = (
        "Predicted against true Dice. The fixed masks are drawn once from the images of the "
        f"{escape(plain(quality.get('split', 'test')))} split. A predictor that looks at the image does much worse "
        "where the image is blacked out or another’s; how well it judges corrupted masks says little about how well it "
        "judges those of a trained segmenter."
    )
    return [table(["masks", "MAE", "Pearson", "Spearman", "n"], rows), f'<p class="caption">{text}</p>']


def _tail(metrics: Mapping[str, Any], config: str) -> list[str]:
    parts = []
    if config:
        parts.append(
            f"<h2>Configuration</h2>\n<details><summary>config.yaml</summary><pre>{escape(config)}</pre></details>"
        )
    environment = _dict(metrics.get("environment"))
    if environment:
        items = "".join(f"<dt>{escape(str(k))}</dt><dd>{escape(plain(v))}</dd>" for k, v in environment.items())
        parts.append(f"<h2>Environment</h2>\n<dl>{items}</dl>")
    return parts


def _text(path: Path, notes: list[str]) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    except OSError as error:
        notes.append(f"{path.name} could not be read: {error.strerror}")
        return ""


def _metrics(path: Path, notes: list[str]) -> Mapping[str, Any]:
    text = _text(path, notes)
    if not text:
        return {}
    try:
        found = json.loads(text)
    except ValueError as error:
        notes.append(f"metrics.json could not be read: {error}")
        return {}
    if not isinstance(found, dict):
        notes.append(f"metrics.json could not be read: wanted an object, got {type(found).__name__}")
    return _dict(found)


def _log(path: Path, notes: list[str]) -> list[dict[str, Any]]:
    """Rows of a JSONL file; a run that was cut may leave half a line, which is told and skipped."""
    rows, bad = [], 0
    for line in _text(path, notes).splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if isinstance(row, dict):
            rows.append(row)
        elif line.strip():
            bad += 1
    if bad:
        notes.append(f"log.jsonl: {bad} line{'s' if bad > 1 else ''} could not be read")
    return rows


def _dict(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
