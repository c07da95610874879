"""What the page on evidence shows: tables of methods and of predictors, and what the guard does epoch by epoch."""

from __future__ import annotations

import csv
import json
import math
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

from evidence_settings import GROUPS, VOLUMES
from pages import markdown

from qgssl_fast.reporting.style import COLOURS, figure

NAMES = {
    "gated": "full, gate",
    "plain": "published",
    "unguarded": "full, lambda 10",
    "guarded": "full, lambda 10, guard",
    "unguarded-before": "full, lambda 10, an earlier run",
    "halving": "full, lambda 10, an earlier guard",
}
BEFORE = {"unguarded-before": "unguarded", "halving": "guarded"}
"""Rows of groups as they were before the guard undid anything: it halved lambda, and went on from where things were."""
T95 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}


def read(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def table(path: Path, base_method: str = "SUP") -> str:
    """Markdown: mean ± sd of the test Dice over seeds, and the mean difference to a method, paired by seed, with its
    95 % interval by Student's t."""
    scores: dict[tuple[str, str, str], dict[str, float]] = defaultdict(dict)
    others: dict[tuple[str, str, str], list[list[float]]] = defaultdict(list)
    for row in read(path):
        key = row["data"], row["method"], row["group"]
        scores[key][row["seed"]] = float(row["dice"])
        others[key].append([float(row[field]) for field in ("dice_last", "iou", "hd95")])
    head = ["data", "method", "predictor", "seeds", "test Dice", "last epoch's", "IoU", "HD95"]
    head += [f"to {base_method}", "95 %", "says"]
    rows = []
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
        unit = "mm" if data in VOLUMES else "px"
        more = [f"{last:.3f}", f"{iou:.3f}", f"{hd95:.1f} {unit}"]
        rows.append([data, method, name, str(len(by_seed)), score, *more, *cells])
    return markdown(head, rows)


def _place(key: tuple[str, str, str]) -> tuple[int, int]:
    group = BEFORE.get(key[2], key[2])
    return [*GROUPS, *BEFORE].index(key[2]), GROUPS[group][1].index(key[1])


def spread(values: list[float]) -> str:
    return f"{statistics.fmean(values):.3f}" + (f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else "")


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
    rows = []
    for data, runs in found.items():
        for name, (part, fields) in PREDICTOR.items():
            cells = [spread([one[part][field] for one in runs]) for field in fields]
            error = spread([one["ece"] for one in runs]) if part == "corrupted" else ""
            rows.append([data, str(len(runs)), name, *cells, error])
    return markdown(["data", "seeds", "masks", "MAE", "Pearson", "Spearman", "calibration error"], rows)


GuardLogs = dict[str, dict[str, list[list[dict[str, float]]]]]
WATCHED = ("lambda_regularizer", "val_student_quality", "val_student_dice", "val_dice", "guard")


def collect_guard(work: Path) -> GuardLogs:
    """{data: {group: [seed: [what each validation of QAR found, by epoch]]}} of the run folders with a large lambda."""
    found: dict[str, Any] = defaultdict(lambda: defaultdict(list))
    for group in ("unguarded", "guarded"):
        for path in sorted(work.glob(f"*-{group}/log.jsonl")):
            rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
            looks = [row for row in rows if row.get("stage") == "segmenter/QAR" and "val_student_quality" in row]
            kept = [{"epoch": row["epoch"]} | {key: row.get(key, 0.0) for key in WATCHED} for row in looks]
            found[path.parent.name.rsplit("-", 2)[0]][group].append(kept)
    return {data: dict(groups) for data, groups in found.items()}


SIDES = {"unguarded": "without", "guarded": "with"}
SHOWN = {"lambda_regularizer": "λ", "val_student_quality": "predicted quality", "val_student_dice": "its Dice",
         "val_dice": "kept network's Dice"}  # fmt: skip


def guard_table(found: GuardLogs) -> str:
    """Markdown: means over seeds of what validations found, without and with the guard."""
    rows = []
    for data, groups in found.items():
        for looks in zip(*(zip(*groups[side]) for side in SIDES)):
            means = [statistics.fmean(one[key] for one in seeds) for seeds in looks for key in SHOWN]
            cells = [f"{m:.2g}" if k % len(SHOWN) == 0 else f"{m:.3f}" for k, m in enumerate(means)]
            rows.append([data, str(len(looks[0])), str(looks[0][0]["epoch"]), *cells])
    head = [f"{name}, {side}" if k == 0 else name for side in SIDES.values() for k, name in enumerate(SHOWN.values())]
    return markdown(["data", "seeds", "epoch", *head], rows)


def draw_guard(found: GuardLogs, path: Path) -> None:
    """A panel for each data set and side: predicted quality and true Dice by epoch, of each seed and their mean."""
    with figure(path, 4.2 * len(SIDES), 3.0 * len(found)) as fig:
        axes = fig.subplots(len(found), len(SIDES), sharex=True, sharey="row", squeeze=False)
        for line, (data, groups) in zip(axes, found.items()):
            for axis, (side, name) in zip(line, SIDES.items()):
                for key, colour in (("val_student_quality", COLOURS[1]), ("val_student_dice", COLOURS[0])):
                    curves = [[look[key] for look in seed] for seed in groups[side]]
                    epochs = [look["epoch"] for look in groups[side][0]]
                    for curve in curves:
                        axis.plot(epochs, curve, color=colour, alpha=0.35, linewidth=0.9)
                    mean = [statistics.fmean(values) for values in zip(*curves)]
                    axis.plot(epochs, mean, color=colour, label="predicted" if "quality" in key else "true Dice")
                axis.set_title(f"{data}, {name} the guard")
            line[0].set_ylabel("mean of validation images")
            line[0].legend(loc="lower left")
        for axis in axes[-1]:
            axis.set(xlabel="epoch", xticks=epochs[::2])
