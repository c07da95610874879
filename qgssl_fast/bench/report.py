"""What was measured as a table, as CSV and as JSON, and beside what was measured before."""

from __future__ import annotations

import csv
import functools
import io
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from rich.markup import escape
from rich.table import Table

from .. import __version__
from ..errors import InputError
from ..kernels import native
from ..training.record import environment
from .suite import Result

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PEERS = ("opencv-python-headless", "opencv-python", "scipy", "scikit-image", "kornia", "monai", "torchio", "fastmorph",
         "albumentations", "torchvision")  # fmt: skip
COLUMNS = ("case", "family", "title", "unit", "contender", "kind", "per_second", "seconds_p20", "seconds_p50",
           "seconds_p80", "rounds", "ratio", "share_of_limit", "bytes", "instructions", "why_not")  # fmt: skip
MACHINE = ("device", "processor", "isa", "threads", "torch", "qgssl_fast", "commit")


def machine() -> dict[str, Any]:
    """Device, instruction set, threads, versions (peers' too), commit."""
    found = environment(torch.device("cpu"))
    return found | {"isa": isa(), "qgssl_fast": __version__, "peers": _versions()}


def isa() -> str | None:
    """The instruction set of the C++ kernels in use; None without them."""
    return native.cpu().isa() if native.refusal() is None else None


@functools.cache
def instructions() -> dict[str, dict[str, float]]:
    """By instruction set and case: instructions for one thing, on one thread, as benchmarks/instructions.py counts."""
    found: dict[str, dict[str, float]] = tomllib.loads(
        Path(__file__).with_name("instructions.toml").read_text(encoding="utf-8")
    )
    return found


def told(found: dict[str, Any]) -> str:
    """On what it was measured, in a line."""
    commit = f", commit {found['commit'][:7]}" if found["commit"] else ""
    threads = f"{found['threads']} thread{'s' if found['threads'] > 1 else ''}"
    return f"{found['processor']}, {found['isa']}, {threads}, torch {found['torch']}, {found['qgssl_fast']}{commit}"


def _versions() -> dict[str, str]:
    found = {}
    for name in PEERS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def records(results: Sequence[Result]) -> list[dict[str, Any]]:
    """A dictionary a contender, with the keys of COLUMNS; times are seconds for one thing.

    ratio: how many times faster ours is than a peer. share_of_limit: of ours. bytes: read and written for one thing.
    instructions: of ours for one thing, where they are known for the instruction set in use.
    """
    found, counted = [], instructions().get(isa() or "", {})
    for result in results:
        case = result.case
        for row in result.rows:
            values = asdict(row)
            record = {key: getattr(case, key) for key in ("family", "title", "unit", "bytes")}
            record |= {key: values[key] for key in ("case", "contender", "kind", "rounds", "why_not")}
            record |= {f"seconds_{key}": values[key] for key in ("p20", "p50", "p80")}
            record |= {"per_second": row.per_second, "ratio": result.ratio(row) if row.kind == "peer" else None}
            record["share_of_limit"] = result.share if row.kind == "ours" else None
            record["instructions"] = counted.get(case.name) if row.kind == "ours" else None
            found.append({key: record[key] for key in COLUMNS})
    return found


def as_json(about: dict[str, Any], results: Sequence[Result], scaling: Sequence[dict[str, Any]]) -> str:
    return json.dumps({**about, "rows": records(results), "scaling": list(scaling)}, indent=1) + "\n"


def as_csv(found: dict[str, Any], results: Sequence[Result]) -> str:
    """The machine stands in every row."""
    file = io.StringIO()
    writer = csv.DictWriter(file, [*COLUMNS, *MACHINE], lineterminator="\n")
    writer.writeheader()
    writer.writerows(record | {key: found[key] for key in MACHINE} for record in records(results))
    return file.getvalue()


def table(results: Sequence[Result]) -> Table:
    """A line a peer; what could not be timed is told with the reason."""
    shown = Table(title="things a second, by the median of rounds in turns", title_justify="left")
    shown.add_column("case", no_wrap=True)
    shown.add_column("ours", justify="right", no_wrap=True)
    shown.add_column("beside")
    for name in ("it does", "ours is times"):
        shown.add_column(name, justify="right")
    for result in results:
        ours, limit = result.of("ours"), result.of("limit")
        lines = [(row.contender, row, "") for row in result.peers]
        if limit is not None:
            lines.append((f"limit: {limit.contender}", limit, ""))
        lines += [(row.contender, row, row.why_not) for row in result.rows if row.why_not]
        first = (result.case.name, f"{_number(ours.per_second if ours else None)} {result.case.unit}")
        for name, row, why_not in lines:
            cells = ("-", f"[red]{escape(why_not)}[/]" if row.wrong else f"[dim]{escape(why_not)}[/]")
            if not why_not:
                cells = (_number(row.per_second), _ratio(result.ratio(row), row.kind))
            shown.add_row(*first, name, *cells)
            first = ("", "")
    return shown


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _ratio(value: float | None, kind: str) -> str:
    if value is None:
        return "-"
    text = f"{value:.0%}" if kind == "limit" else f"{value:.3g}"
    return f"[red]{text}[/]" if kind == "peer" and value < 1 else text


def read(path: Path) -> dict[str, Any]:
    """A file that :func:`as_json` made; InputError for another."""
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        rows = found["rows"]
        if not all(set(COLUMNS) <= set(row) for row in rows) or not set(MACHINE) <= set(found["machine"]):
            raise KeyError("columns")
    except (ValueError, KeyError, TypeError):
        raise InputError(f"compare: {path} is no bench.json of qgssl-fast bench") from None
    return found


def compare(now: dict[str, Any], before: dict[str, Any]) -> tuple[Table, list[str]]:
    """What changed for each case of both, and in what the machines differ.

    Shares of the limit and ratios to the fastest peer are of one run each: what the machine did to it is not in them.
    """
    differing = [
        f"{key}: {before['machine'][key]} then, {now['machine'][key]} now"
        for key in MACHINE
        if before["machine"][key] != now["machine"][key]
    ]
    shown = Table(title="then and now", title_justify="left")
    heads = ("case", "a second then", "now", "times", "share of limit then", "now", "over best peer then", "now")
    for name in heads:
        shown.add_column(name, justify="left" if name == "case" else "right")
    then, today = _by_case(before["rows"]), _by_case(now["rows"])
    for case in today:
        if case not in then:
            continue
        (a, peer_a), (b, peer_b) = then[case], today[case]
        change = b["per_second"] / a["per_second"]
        text = f"{change:.2f}"
        text = f"[red]{text}[/]" if change < 0.9 else f"[green]{text}[/]" if change > 1.1 else text
        shares = (f"{x['share_of_limit']:.0%}" if x["share_of_limit"] else "-" for x in (a, b))
        peers = (f"{x:.3g}" if x else "-" for x in (peer_a, peer_b))
        shown.add_row(case, _number(a["per_second"]), _number(b["per_second"]), text, *shares, *peers)
    lacking = sorted(set(then) - set(today))
    return shown, differing + ([f"not measured now: {', '.join(lacking)}"] if lacking else [])


def _by_case(rows: Sequence[dict[str, Any]]) -> dict[str, tuple[dict[str, Any], float | None]]:
    """Ours, where it was timed, and the ratio to the fastest peer."""
    found = {}
    for row in rows:
        if row["kind"] == "ours" and row["per_second"]:
            ratios = [x["ratio"] for x in rows if x["case"] == row["case"] and x["ratio"]]
            found[row["case"]] = (row, min(ratios, default=None))
    return found
