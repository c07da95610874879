"""The report of a run: one HTML file with its pictures inside."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from qgssl_fast.errors import InputError
from qgssl_fast.files import write_text
from qgssl_fast.reporting.figures import training_curves
from qgssl_fast.reporting.page import PAGE

# A picture belongs to the first of these whose name it starts with: (start, section, heading, what one sees).
_PICTURES = (
    (
        "training_curves",
        "Training",
        "Curves",
        "Losses and validation figures of each stage. Faint: single log rows; strong: their running mean; a ring marks "
        "the best validation value, whose weights were kept as best.",
    ),
    (
        "dice_comparison",
        "Segmentation",
        "Dice of each test image",
        "A dot is a test image, the box holds the middle half with the median as a line, whiskers reach from the 5th to "
        "the 95th percentile, the diamond is the mean (given at the right with its standard deviation).",
    ),
    (
        "overlays",
        "Segmentation",
        "Lowest and highest Dice",
        "Image, outlines of the true mask and of the prediction, and where the two differ.",
    ),
    (
        "quality",
        "Quality predictor",
        "Predicted against true Dice",
        "A point is a mask; darker where points crowd. On the dashed line the prediction is right. At the right the mean "
        "true Dice of the masks of each tenth of predicted Dice; a larger dot stands for more masks.",
    ),
    (
        "corruption_gallery",
        "Corruptions",
        "What the predictor learns from",
        "The outline is the true mask, the filled area the corrupted one; above each the row of the recipe that made it "
        "and its Dice, which the predictor has to tell.",
    ),
)
_SECTIONS = ("Segmentation", "Quality predictor", "Training", "Corruptions", "Other pictures")
_QUALITY_ROWS = {
    "corrupted": "corrupted masks",
    "weak": "masks of weak models",
    "segmenter": "masks of the trained segmenters",
    "image_blacked_out": "corrupted masks, image blacked out",
    "image_shuffled": "corrupted masks, images shuffled",
}


def write_report(run_folder: str | Path) -> Path:
    """Write `report.html` into a run folder from its config.yaml, metrics.json, log.jsonl and figures/*.png.

    The file is self-contained: pictures inside, no script, nothing fetched. What a run has not (yet) written is left out;
    what cannot be read is named at the top. The training curves are drawn here from log.jsonl. No such folder: InputError.
    """
    run = Path(run_folder)
    if not run.is_dir():
        raise InputError(f"report: no such run folder: {run}")
    notes: list[str] = []
    metrics = _metrics(run / "metrics.json", notes)
    rows = _log(run / "log.jsonl", notes)
    if any("stage" in row for row in rows):
        try:
            training_curves(rows, run / "figures" / "training_curves.png")
        except InputError as error:
            notes.append(str(error))
    config = _text(run / "config.yaml", notes)

    sections: dict[str, list[str]] = {name: [] for name in _SECTIONS}
    sections["Segmentation"] += _segmenters(metrics)
    sections["Quality predictor"] += _quality(metrics)
    pictures = sorted((run / "figures").glob("*.png"), key=lambda path: (_picture(path)[0], path.name))
    for picture in pictures:
        _, section, heading, caption = _picture(picture)
        extra = picture.stem[len(heading) :] if not caption else _suffix(picture.stem)
        sections[section].append(_figure(picture, f"{heading}{': ' + extra if extra and caption else ''}", caption))
    body = [_head(run, metrics)]
    body += [f'<p class="note">{escape(note)}</p>' for note in notes]
    if not metrics and not rows and not pictures:
        body.append('<p class="note">This run has written no figures yet.</p>')
    body += [f"<h2>{name}</h2>\n" + "\n".join(parts) for name, parts in sections.items() if parts]
    body += _tail(metrics, config)
    return write_text(run / "report.html", PAGE.format(title=escape(run.resolve().name), body="\n".join(body)))


def _head(run: Path, metrics: Mapping[str, Any]) -> str:
    data = _dict(metrics.get("data"))
    counts = [f"{_plain(data[k])} {k}" for k in ("train", "val", "test", "unlabeled") if k in data]
    size = data.get("size")
    facts = [
        ("data", str(data.get("root", ""))),
        ("images", ", ".join(counts)),
        ("size", " × ".join(map(str, size)) + " px" if isinstance(size, list) else ""),
        ("seed", _plain(metrics.get("seed"))),
        ("time", _duration(metrics.get("seconds"))),
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
    scores = {name: _number(_dict(found.get("best")).get("dice")) for name, found in methods.items()}
    top = max((score for score in scores.values() if score is not None), default=None)
    base = scores.get("SUP")
    head = [
        "method",
        "test Dice, best",
        "against SUP",
        "test Dice, last",
        "IoU",
        "HD95",
        "val Dice",
        "best epoch",
        "time",
    ]
    rows, strong = [], set()
    for name, found in methods.items():
        best, last, score = _dict(found.get("best")), _dict(found.get("last")), scores[name]
        if score is not None and score == top:
            strong.add(len(rows))
        rows.append(
            [
                name,
                _spread(best, "dice"),
                f"{score - base:+.3f}" if score is not None and base is not None and name != "SUP" else "",
                _spread(last, "dice"),
                _decimal(best.get("iou")),
                _decimal(best.get("hd95"), 1),
                _decimal(found.get("val_dice_best")),
                _plain(found.get("best_epoch")),
                _duration(found.get("seconds")),
            ]
        )
    text = (
        "Means over the test images ± their standard deviation. <em>Best</em> are the weights with the highest validation "
        "Dice, <em>last</em> those at the end of training; nothing was chosen on the test images. HD95 in pixels unless "
        "the data has a spacing; an empty mask against one that is not counts as Dice 0 and the image’s diagonal."
    )
    return [_table(head, rows, strong), f'<p class="caption">{text}</p>']


def _quality(metrics: Mapping[str, Any]) -> list[str]:
    found = {str(k): v for k, v in _dict(metrics.get("quality")).items() if isinstance(v, Mapping)}
    order = [k for k in _QUALITY_ROWS if k in found] + [k for k in found if k not in _QUALITY_ROWS]
    if not order:
        return []
    rows = [
        [
            _QUALITY_ROWS.get(k, k),
            *(_decimal(found[k].get(m)) for m in ("mae", "pearson", "spearman")),
            _plain(found[k].get("n")),
        ]
        for k in order
    ]
    text = (
        "Predicted against true Dice. A predictor that looks at the image does much worse where the image is blacked out "
        "or another’s; corrupted masks say little about how well it judges the masks of a trained segmenter."
    )
    return [_table(["masks", "MAE", "Pearson", "Spearman", "n"], rows), f'<p class="caption">{text}</p>']


def _tail(metrics: Mapping[str, Any], config: str) -> list[str]:
    parts = []
    if config:
        parts.append(
            f"<h2>Configuration</h2>\n<details><summary>config.yaml</summary><pre>{escape(config)}</pre></details>"
        )
    environment = _dict(metrics.get("environment"))
    if environment:
        items = "".join(f"<dt>{escape(str(k))}</dt><dd>{escape(_plain(v))}</dd>" for k, v in environment.items())
        parts.append(f"<h2>Environment</h2>\n<dl>{items}</dl>")
    return parts


def _picture(path: Path) -> tuple[int, str, str, str]:
    for place, (start, section, heading, caption) in enumerate(_PICTURES):
        if path.stem.startswith(start):
            return place, section, heading, caption
    return len(_PICTURES), "Other pictures", path.stem, ""


def _suffix(stem: str) -> str:
    """ "overlays_PL-QW" -> "PL-QW"; the plain names of the table give nothing."""
    start = next(start for start, *_ in _PICTURES if stem.startswith(start))
    rest = stem[len(start) :].strip("_- ")
    return "" if rest in ("scatter",) else rest


def _figure(picture: Path, heading: str, caption: str) -> str:
    data = base64.b64encode(picture.read_bytes()).decode("ascii")
    below = f"<b>{escape(heading)}.</b> {escape(caption)}" if caption else escape(heading)
    return f'<figure><img src="data:image/png;base64,{data}" alt="{escape(heading)}"><figcaption>{below}</figcaption></figure>'


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], strong: Iterable[int] = ()) -> str:
    marked = set(strong)
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    lines = [
        f"<tr{' class=top' if k in marked else ''}>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
        for k, row in enumerate(rows)
    ]
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


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


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _decimal(value: Any, digits: int = 3) -> str:
    number = _number(value)
    return "–" if number is None else f"{number:.{digits}f}"


def _spread(found: Mapping[str, Any], name: str) -> str:
    sd = _number(found.get(f"{name}_sd"))
    return _decimal(found.get(name)) + ("" if sd is None else f" ± {sd:.3f}")


def _plain(value: Any) -> str:
    return "" if value is None else str(value)


def _duration(seconds: Any) -> str:
    number = _number(seconds)
    if number is None:
        return ""
    minutes, rest = divmod(round(number), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
