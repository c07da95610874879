"""Figures of finished runs as a file of results; the README's table of what is reached is made of such files.

python benchmarks/reached.py OUT.json RUN_FOLDER...
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from pages import markdown

from qgssl_fast.files import write_text

FILES = ("phantoms-cpu", "ph2-10-labels-cpu", "ph2-cpu")
"""Of the README's table, in its order."""
METHODS = ("SUP", "pseudo_label", "PL-QW", "QAR")
ALL_FOUR = "--methods '[SUP, pseudo_label, PL-QW, QAR]'"
NAMES = {"phantoms": "phantoms, seed {seed}", "ph2": "PH2"}


def figures(folder: Path) -> dict[str, Any]:
    """What is kept of one run."""
    found = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    quality, segmenters = found["quality"], found["segmenter"]
    kinds = ("all", "corrupted", "weak", "image_shuffled")
    return {
        "command": found["command"],
        "seed": found["seed"],
        "seconds": found["seconds"],
        "quality_seconds": quality["seconds"],
        "threads": found["environment"]["threads"],
        "data": {key: found["data"][key] for key in ("train", "val", "test", "unlabeled", "size")}
        | {"name": Path(found["data"]["root"]).name},
        "quality": {kind: quality[kind] for kind in kinds if kind in quality},
        "segmenter": {
            name: {
                "dice": one["best"]["dice"], "dice_last": one["last"]["dice"], "hd95": one["best"]["hd95"],
                "seconds": one["seconds"],
            }
            for name, one in segmenters.items()
        },
    }  # fmt: skip


def collected(folders: list[Path]) -> dict[str, Any]:
    """Runs of one machine and commit, or SystemExit."""
    environments = [json.loads((folder / "metrics.json").read_text())["environment"] for folder in folders]
    keys = ("processor", "cpus", "torch", "python", "commit")
    machines = [{key: environment[key] for key in keys} for environment in environments]
    if any(machine != machines[0] for machine in machines):
        raise SystemExit(f"reached: the runs are of different machines or commits: {machines}")
    return {"machine": machines[0], "runs": [figures(folder) for folder in folders]}


def block(results: Path) -> str:
    """The README's table, with devices and commits."""
    lines, told = [], []
    for name in FILES:
        found = json.loads((results / f"{name}.json").read_text(encoding="utf-8"))
        machine = found["machine"]
        on = f"{machine['cpus']} cores of an {machine['processor']}, torch {machine['torch']}"
        on += f", commit {machine['commit'][:7]}"
        told.append(f"{name.removesuffix('-cpu')}: {on}")
        lines += [_line(run) for run in found["runs"]]
    head = ("data", "labels", "`qgssl-fast`", "supervised", "PL", "PL-QW", "QAR", "predictor: MAE, Pearson", "time")
    places = {one.split(": ", 1)[1] for one in told}
    return f"{places.pop() if len(places) == 1 else '; '.join(told)}:\n\n{markdown(head, lines)}"


def seeds(results: Path) -> str:
    """The table of docs/data.md: the phantoms' runs, and their mean."""
    runs = json.loads((results / f"{FILES[0]}.json").read_text(encoding="utf-8"))["runs"]
    rows = [
        [run["segmenter"][name]["dice"] for name in METHODS]
        + [run["quality"]["all"][key] for key in ("mae", "pearson")]
        for run in runs
    ]
    names = [str(run["seed"]) for run in runs] + ["mean"]
    rows.append([sum(column) / len(column) for column in zip(*rows)])
    head = ("seed", "supervised", "PL", "PL-QW", "QAR", "predictor: MAE", "Pearson")
    return markdown(head, [(name, *(f"{value:.3f}" for value in row)) for name, row in zip(names, rows)])


def _line(run: dict[str, Any]) -> tuple[str, ...]:
    command = re.sub(r" --out \S+", "", run["command"].removeprefix("qgssl-fast "))
    shown = f"`{command.replace(ALL_FOUR, '').strip()}`" + (" +" if ALL_FOUR in command else "")
    dice = [f"{run['segmenter'][name]['dice']:.3f}" if name in run["segmenter"] else "–" for name in METHODS]
    predictor = f"{run['quality']['all']['mae']:.3f}, {run['quality']['all']['pearson']:.3f}"
    minutes, seconds = divmod(round(run["seconds"]), 60)
    title = NAMES[run["data"]["name"]].format(seed=run["seed"])
    return title, str(run["data"]["train"]), shown, *dice, predictor, f"{minutes} min {seconds} s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    chosen = parser.parse_args()
    for folder in chosen.runs:
        if not (folder / "metrics.json").is_file():
            sys.exit(f"reached: {folder} has no metrics.json: not a finished run")
    write_text(chosen.out, json.dumps(collected(chosen.runs), indent=1) + "\n")
    print(block(chosen.out.parent) if chosen.out.stem in FILES else chosen.out)


if __name__ == "__main__":
    main()
