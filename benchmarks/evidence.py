"""Trains method x guide x seeds on phantoms and real data sets with few labels, one row per run in a CSV.

    python benchmarks/evidence.py --data ph2=PATH --seeds 0 1 2 --groups core all --csv benchmarks/results/evidence.csv
    python benchmarks/evidence.py --table benchmarks/results/evidence.csv

Resumable: rows that are there are skipped, a run that was cut goes on. A data set is NAME=FOLDER, or `phantoms`.
`--paper` takes the published setting (for a GPU). `--table` prints means ± sd over seeds and paired differences to SUP,
`--collect runs/evidence` keeps what the run folders' predictors say of test masks, `--docs` puts all of it on a page.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from evidence_pages import collect, collect_guard, draw_guard, guard_table, predictors, read, table
from evidence_settings import GROUPS, PL, settings
from machine import commit, processor
from pages import replaced

from qgssl_fast.training.run import run
from qgssl_fast.training.settings import to_yaml

FIELDS = ["data", "labelled", "seed", "group", "method", "dice", "dice_last", "iou", "hd95", "val_dice",
          "seconds", "mae_corrupted", "pearson_corrupted", "mae_segmenter", "pearson_segmenter", "ece", "strength",
          "device", "commit"]  # fmt: skip


def done(path: Path) -> set[tuple[str, str, str]]:
    return {(row["data"], row["seed"], row["group"]) for row in read(path)}


def train(data: str, folder: Path | None, seed: int, group: str, work: Path, paper: bool) -> list[dict[str, Any]]:
    """One run folder: the group's methods; predictor and weak models come from a run that had the same."""
    out = work / f"{data}-{seed}-{group}"
    twin = work / f"{data}-{seed}-core"
    if GROUPS[group][0] and group != "core" and (twin / "metrics.json").exists() and not out.exists():
        out.mkdir(parents=True)
        config = settings(data, folder, seed, group, out, paper)
        (out / "config.yaml").write_text(to_yaml(config))
        for stage in ("weak", "quality", "figures", "phantoms"):
            if (twin / stage).exists():
                shutil.copytree(twin / stage, out / stage)
    run(settings(data, folder, seed, group, out, paper), command="benchmarks/evidence.py")
    found = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    quality = found["quality"]
    rows = []
    for method, values in found["segmenter"].items():
        outputs = json.loads((out / "segmenter" / method / "metrics.json").read_text(encoding="utf-8"))
        judged = outputs.get("quality_of_predictions", {})
        rows.append({
            "data": data, "labelled": found["data"]["train"], "seed": seed, "group": group, "method": method,
            "dice": values["best"]["dice"], "dice_last": values["last"]["dice"], "iou": values["best"]["iou"],
            "hd95": values["best"]["hd95"], "val_dice": values["val_dice_best"], "seconds": round(values["seconds"], 1),
            "mae_corrupted": quality["corrupted"]["mae"], "pearson_corrupted": quality["corrupted"]["pearson"],
            "mae_segmenter": judged.get("mae"), "pearson_segmenter": judged.get("pearson"), "ece": quality.get("ece"),
            "strength": "/".join(f"{one['strength']:g}" for one in values.get("gate", {}).values()),
            "device": device(), "commit": commit(),
        })  # fmt: skip
    return rows


def device() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else processor()


def append(path: Path, rows: list[dict[str, Any]]) -> None:
    fresh = not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        if fresh:
            writer.writeheader()
        writer.writerows({k: f"{v:.4f}" if isinstance(v, float) else v for k, v in row.items()} for row in rows)


def write_page(rows: Path, page: Path) -> None:
    """The page's tables, and the picture beside it."""
    seen, guard = (json.loads(rows.with_name(f"evidence-{name}.json").read_text()) for name in ("predictors", "guard"))
    tables = {"methods": table(rows), "beside": table(rows, PL)}
    tables |= {"predictors": predictors(seen), "guard": guard_table(guard)}
    for name, text in tables.items():
        page.write_text(replaced(page, {name: text}), encoding="utf-8")
    draw_guard(guard, page.parent / "pictures" / "results-guard.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=["phantoms"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--groups", nargs="+", default=["core"], choices=list(GROUPS))
    parser.add_argument("--csv", type=Path, default=Path("benchmarks/results/evidence.csv"))
    parser.add_argument("--work", type=Path, default=Path("runs/evidence"))
    parser.add_argument("--paper", action="store_true")
    parser.add_argument("--table", type=Path)
    parser.add_argument("--base", default="SUP", help="what --table compares with")
    parser.add_argument("--collect", type=Path, metavar="WORK", help="what the runs' logs say, beside the CSV")
    parser.add_argument("--docs", type=Path, metavar="PAGE")
    options = parser.parse_args()
    if options.table:
        print(table(options.table, options.base))
        return
    if options.collect:
        for name, found in (("predictors", collect(options.collect)), ("guard", collect_guard(options.collect))):
            options.csv.with_name(f"evidence-{name}.json").write_text(json.dumps(found, indent=1) + "\n")
        return
    if options.docs:
        write_page(options.csv, options.docs)
        return
    for group in options.groups:
        for named in options.data:
            for seed in options.seeds:
                data, _, folder = named.partition("=")
                if (data, str(seed), group) not in done(options.csv):
                    at = Path(folder) if folder else None
                    append(options.csv, train(data, at, seed, group, options.work, options.paper))


if __name__ == "__main__":
    main()
