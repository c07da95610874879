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
import math
import shutil
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
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


def read(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


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


PREDICTOR = {
    "corrupted masks": ("corrupted", ("mae", "pearson", "spearman")),
    "weak models' masks": ("weak", ("mae", "pearson", "spearman")),
    "segmenters' masks": ("segmenter", ("mae", "pearson", "spearman")),
    "all, image black": ("image_blacked_out", ("mae", "pearson", "spearman")),
    "all, image of another": ("image_shuffled", ("mae", "pearson", "spearman")),
}


def collect(work: Path) -> dict[str, list[dict[str, Any]]]:
    """For each data set what the predictors in the run folders of group core say of test masks, by seed."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for path in sorted(work.glob("*-core/metrics.json")):
        quality = json.loads(path.read_text(encoding="utf-8")).get("quality")
        if quality:
            kept = {part: {field: quality[part][field] for field in fields} for part, fields in PREDICTOR.values()}
            found[path.parent.name.rsplit("-", 2)[0]].append({**kept, "ece": quality["ece"]})
    return dict(found)


def predictors(found: dict[str, list[dict[str, Any]]]) -> str:
    """Markdown: mean ± sd over seeds."""
    lines = ["| data | seeds | masks | MAE | Pearson | Spearman | calibration error |", "|---|---|---|---|---|---|---|"]
    for data, runs in found.items():
        for name, (part, fields) in PREDICTOR.items():
            cells = [spread([one[part][field] for one in runs]) for field in fields]
            error = spread([one["ece"] for one in runs]) if part == "corrupted" else ""
            lines.append(f"| {data} | {len(runs)} | {name} | {' | '.join(cells)} | {error} |")
    return "\n".join(lines)


def spread(values: list[float]) -> str:
    return f"{statistics.fmean(values):.3f}" + (f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else "")


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


def table(path: Path, base_method: str = "SUP") -> str:
    """Markdown: mean ± sd of the test Dice over seeds, and the mean difference to a method, paired by seed, with its
    95 % interval by Student's t."""
    scores: dict[tuple[str, str, str], dict[str, float]] = defaultdict(dict)
    others: dict[tuple[str, str, str], list[list[float]]] = defaultdict(list)
    for row in read(path):
        key = row["data"], row["method"], row["group"]
        scores[key][row["seed"]] = float(row["dice"])
        others[key].append([float(row[field]) for field in ("dice_last", "iou", "hd95")])
    head = ["data", "method", "predictor", "seeds", "test Dice", "last epoch's", "IoU", "HD95, px"]
    head += [f"to {base_method}", "95 %", "says"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for (data, method, group), by_seed in sorted(scores.items(), key=lambda item: (item[0][0], _place(item[0]))):
        base = scores.get((data, base_method, "core"), {})
        differences = [by_seed[s] - base[s] for s in by_seed if s in base]
        score = spread(list(by_seed.values()))
        cells = ["–", "–", "–"]
        if (method, group) != (base_method, "core") and len(differences) > 1:
            middle = statistics.fmean(differences)
            half = T95[len(differences) - 1] * statistics.stdev(differences) / math.sqrt(len(differences))
            says = "better" if middle > half else "worse" if middle < -half else "not sure"
            cells = [f"{middle:+.3f}", f"{middle - half:+.3f} to {middle + half:+.3f}", says]
        name = NAMES.get(group, "full")
        last, iou, hd95 = (statistics.fmean(column) for column in zip(*others[data, method, group]))
        more = f"{last:.3f} | {iou:.3f} | {hd95:.1f}"
        lines.append(f"| {data} | {method} | {name} | {len(by_seed)} | {score} | {more} | {' | '.join(cells)} |")
    return "\n".join(lines)


NAMES = {
    "gated": "full, gate",
    "plain": "published",
    "unguarded": "full, lambda 10",
    "guarded": "full, lambda 10, guard",
}
T95 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}


def _place(key: tuple[str, str, str]) -> tuple[int, int]:
    return list(GROUPS).index(key[2]), GROUPS[key[2]][1].index(key[1])


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
    parser.add_argument("--collect", type=Path, metavar="WORK", help="predictors' figures, beside the CSV")
    parser.add_argument("--docs", type=Path, metavar="PAGE")
    options = parser.parse_args()
    if options.table:
        print(table(options.table, options.base))
        return
    kept = options.csv.with_name("evidence-predictors.json")
    if options.collect:
        kept.write_text(json.dumps(collect(options.collect), indent=1) + "\n", encoding="utf-8")
        return
    if options.docs:
        tables = {"methods": table(options.csv), "beside": table(options.csv, PL)}
        tables["predictors"] = predictors(json.loads(kept.read_text(encoding="utf-8")))
        for name, text in tables.items():
            options.docs.write_text(replaced(options.docs, name, text), encoding="utf-8")
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
