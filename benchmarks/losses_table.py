"""What bench_losses.py measured as a table: milliseconds of a loss with its gradient, memory beside them, ratios, aims.

pytest benchmarks/bench_losses.py --benchmark-timer=time.process_time --benchmark-json=losses.json
python benchmarks/losses_table.py losses.json --out results.json --docs page.md
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

from machine import describe
from pages import replaced

from qgssl_fast.files import write_text

CONTENDERS = ("ours", "eager", "compiled", "monai_dice_ce", "monai_dice")
# How many times faster than eager and than torch.compile it is meant to be.
AIMS = {"weighted BCE+Dice": (10, 5), "weighted MSE": (5, 2.5), "CE+Dice": (4, None)}


def read(path: Path) -> dict[str, dict[str, Any]]:
    """By case and contender: milliseconds (of the fastest round) and the most bytes held at once."""
    found: dict[str, dict[str, Any]] = {}
    for bench in json.loads(path.read_text(encoding="utf-8"))["benchmarks"]:
        case, _, contender = re.sub(r"^.*\[|\]$", "", bench["fullname"]).rpartition("-")
        found.setdefault(case, {})[contender] = {
            "milliseconds": round(bench["extra_info"]["milliseconds"], 3),
            "median_milliseconds": round(bench["stats"]["median"] * 1e3, 3),
            "peak_bytes": bench["extra_info"]["peak_bytes"],
            "gradient_bytes": bench["extra_info"]["gradient_bytes"],
        }
    return found


def table(found: dict[str, dict[str, Any]]) -> str:
    head = ["case", "ours", "eager", "`torch.compile`", "MONAI DiceCELoss", "MONAI DiceLoss"]
    lines = [[*head, "over eager (aim)", "over compile (aim)"], ["---"] * 8]
    for case, times in found.items():
        cells = [cell(times.get(name)) for name in CONTENDERS]
        aims = AIMS[case.split(",")[0]]
        ratios = [ratio(times, peer, aim) for peer, aim in zip(("eager", "compiled"), aims)]
        lines.append([case, *cells, *ratios])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cell(row: dict[str, Any] | None) -> str:
    return "" if row is None else f"{row['milliseconds']:.2f} ms, {row['peak_bytes'] / 1e6:.1f} MB"


def ratio(times: dict[str, Any], peer: str, aim: float | None) -> str:
    if peer not in times:
        return ""
    value = times[peer]["milliseconds"] / times["ours"]["milliseconds"]
    return f"{value:.1f}" + (f" ({aim:g})" if aim else "")


def block(results: dict[str, Any]) -> str:
    """The measured part of docs/losses.md."""
    machine = results["machine"]
    told = f"{machine['processor']}, one thread, torch {machine['torch']}, commit {machine['commit']}."
    return f"{told}\n\n{table(results['cases'])}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("json", type=Path, help="what --benchmark-json wrote")
    parser.add_argument("--out", type=Path, help="file of results to write")
    parser.add_argument("--docs", type=Path, help="page whose table to renew")
    chosen = parser.parse_args()
    command = "pytest benchmarks/bench_losses.py --benchmark-timer=time.process_time"
    results = {"machine": describe(), "command": command, "cases": read(chosen.json)}
    if chosen.out:
        write_text(chosen.out, json.dumps(results, indent=1) + "\n")
    print(table(results["cases"]))
    if chosen.docs:
        write_text(chosen.docs, replaced(chosen.docs, {"losses-cpu": block(results)}))


if __name__ == "__main__":
    main()
