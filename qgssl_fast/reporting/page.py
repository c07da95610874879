"""What the HTML report is made of: the frame, tables, pictures with their captions, numbers as text."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Kind:
    """A kind of picture: files like "40-overlays-PL-QW.png", whose name starts with `start` after an optional number.

    The caption says what one sees.
    """

    start: str
    section: str
    heading: str
    caption: str


KINDS = (
    Kind(
        "curves",
        "Training",
        "Curves",
        "Losses and validation figures of each stage. Faint: single log rows; strong: their running mean; a ring marks "
        "the best validation value.",
    ),
    Kind(
        "dice",
        "Segmentation",
        "Dice of each test image",
        "A dot is a test image, the box holds the middle half with the median as a line, whiskers reach from the 5th "
        "to the 95th percentile, the diamond is the mean (at the right with its standard deviation).",
    ),
    Kind(
        "overlays",
        "Segmentation",
        "Lowest and highest Dice",
        "Image, outlines of the true mask and of the prediction, and where the two differ.",
    ),
    Kind(
        "quality",
        "Quality predictor",
        "Predicted against true Dice",
        "A point is a mask; darker where points crowd. On the dashed line the prediction is right. At the right the "
        "mean true Dice of the masks of each tenth of predicted Dice; a larger dot stands for more masks.",
    ),
    Kind(
        "corruptions",
        "Corruptions",
        "What the predictor learns from",
        "The outline is the true mask, the filled area the corrupted one; above each the row of the recipe that made "
        "it and its Dice, which the predictor has to tell.",
    ),
)
OTHER = Kind("", "Other pictures", "", "")
_NUMBER = re.compile(r"^\d+[-_]")


def kind_of(path: Path) -> Kind:
    stem = _NUMBER.sub("", path.stem)
    return next((kind for kind in KINDS if stem.startswith(kind.start)), OTHER)


def picture(path: Path) -> str:
    """The PNG inside a figure, headed by its kind and what its name says beyond that."""
    kind = kind_of(path)
    rest = _NUMBER.sub("", path.stem)[len(kind.start) :].strip("_- ")
    heading = ": ".join(part for part in (kind.heading, rest) if part)
    below = f"<b>{escape(heading)}.</b> {escape(kind.caption)}" if kind.caption else escape(heading)
    source = "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii")
    return f'<figure><img src="{source}" alt="{escape(heading)}"><figcaption>{below}</figcaption></figure>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], strong: Iterable[int] = ()) -> str:
    marked = set(strong)
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    lines = [
        f"<tr{' class=top' if k in marked else ''}>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
        for k, row in enumerate(rows)
    ]
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def decimal(value: Any, digits: int = 3) -> str:
    found = number(value)
    return "–" if found is None else f"{found:.{digits}f}"


def spread(found: Mapping[str, Any], name: str) -> str:
    sd = number(found.get(f"{name}_sd"))
    return decimal(found.get(name)) + ("" if sd is None else f" ± {sd:.3f}")


def plain(value: Any) -> str:
    return "" if value is None else str(value)


def duration(seconds: Any) -> str:
    found = number(seconds)
    if found is None:
        return ""
    minutes, rest = divmod(round(found), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


# `PAGE.format(title=..., body=...)`, both escaped already.
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title} – qgssl_fast</title>
<style>
:root {{ color-scheme: light dark; --ink: #1b1f24; --soft: #57606a; --ground: #f6f7f9; --card: #fff; --line: #d8dee4;
  --mark: #e7f1fb; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --ink: #e6e9ed; --soft: #9aa4af; --ground: #14171b; --card: #1d2126; --line: #353b43; --mark: #1c3247; }}
}}
* {{ box-sizing: border-box; }}
body {{ margin: 0 auto; max-width: 1120px; padding: 2rem 1.25rem 4rem; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; overflow-wrap: anywhere; }}
h1 {{ font-size: 1.7rem; margin: 0 0 .75rem; }}
h2 {{ font-size: 1.2rem; margin: 2.5rem 0 .75rem; padding-bottom: .3rem; border-bottom: 1px solid var(--line); }}
dl {{ display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.25rem; margin: 0; }}
dt {{ color: var(--soft); }}
dd {{ margin: 0; font-variant-numeric: tabular-nums; }}
ul {{ margin: .75rem 0 0; padding-left: 1.2rem; color: var(--soft); }}
.scroll {{ overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: 8px; }}
table {{ border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; overflow-wrap: normal; }}
th, td {{ padding: .5rem .8rem; text-align: right; white-space: nowrap; }}
th {{ font-weight: 600; color: var(--soft); border-bottom: 1px solid var(--line); }}
th:first-child, td:first-child {{ text-align: left; font-weight: 600; }}
tr.top td {{ background: var(--mark); }}
tbody tr + tr td {{ border-top: 1px solid var(--line); }}
figure {{ margin: 1.25rem 0; padding: .9rem; background: var(--card); border: 1px solid var(--line);
  border-radius: 8px; }}
img {{ display: block; max-width: 100%; height: auto; margin: 0 auto; background: #fff; border-radius: 4px; }}
figcaption, .caption {{ color: var(--soft); font-size: .9rem; margin: .7rem 0 0; }}
pre {{ background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 1rem; overflow-x: auto;
  font: 13px/1.45 ui-monospace, "DejaVu Sans Mono", monospace; }}
summary {{ cursor: pointer; }}
.note {{ background: #fff4ce; color: #4d3800; border: 1px solid #e3c767; border-radius: 8px; padding: .6rem .9rem; }}
@media print {{ body {{ max-width: none; }} figure {{ break-inside: avoid; }} }}
</style>
</head>
<body>
{body}
</body>
</html>
"""
