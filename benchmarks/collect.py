"""Collects finished runs into one file of results and prints it as a table.

python benchmarks/collect.py runs/a runs/b --out benchmarks/results/NAME.json
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

from machine import describe

from qgssl_fast.files import write_text


def read(folder: Path) -> dict[str, Any]:
    """Seed, times and test figures of a run; paths are cut to their last part."""
    found = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    quality = {
        key: found["quality"][key] for key in ("all", "corrupted", "weak", "image_shuffled") if key in found["quality"]
    }
    methods = {label: figures(values) for label, values in found["segmenter"].items()}
    data = {key: found["data"][key] for key in ("train", "val", "test", "unlabeled", "size")}
    command = re.sub(r"\S*/(?=[^/\s]+(\s|$))", "", found["command"])
    threads = found["environment"]["threads"]
    times = {"seconds": found["seconds"], "quality_seconds": found["quality"]["seconds"], "threads": threads}
    return {"command": command, "seed": found["seed"], **times, "data": data, "quality": quality, "segmenter": methods}


def figures(values: dict[str, Any]) -> dict[str, float]:
    best, last = values["best"], values["last"]
    return {"dice": best["dice"], "dice_last": last["dice"], "hd95": best["hd95"], "seconds": values["seconds"]}


def table(runs: list[dict[str, Any]]) -> str:
    """Markdown: a row a run."""
    labels = list(runs[0]["segmenter"])
    head = ["seed", *labels, "predictor: MAE", "Pearson", "seconds"]
    lines = [" | ".join(head), " | ".join("---" for _ in head)]
    for run in runs:
        dice = [f"{run['segmenter'][label]['dice']:.3f}" for label in labels]
        quality = run["quality"]["all"]
        cells = [str(run["seed"]), *dice, f"{quality['mae']:.3f}", f"{quality['pearson']:.3f}", f"{run['seconds']:.0f}"]
        lines.append(" | ".join(cells))
    return "\n".join(f"| {line} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    runs = [read(folder) for folder in chosen.runs]
    if chosen.out:
        write_text(chosen.out, json.dumps({"machine": describe(), "runs": runs}, indent=1) + "\n")
    print(table(runs))


if __name__ == "__main__":
    main()
