"""What the evidence trains: groups of methods, and settings at a size that two cores manage or as published."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgssl_fast.data.layout import looks_volumetric
from qgssl_fast.training.config import Config
from qgssl_fast.training.settings import flatten, from_dict, load_preset, to_dict

FULL = {
    "weak.folds": 3, "quality.dense": 16, "quality.soft": 0.3, "quality.augmentation": "strong",
    "quality.calibrate": True,
}  # fmt: skip
"""The predictor beyond the paper; `plain` is the published one at the same size."""
PL = "pseudo_label"
HACK = {"segmenter.regularizer_lambda.maximum": 10.0}
"""A hundred times what `core` has. A margin of 1 is never passed: the guard then only measures."""
GROUPS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "core": (FULL, ["SUP", PL, "PL-T", "PL-QW", f"{PL}+quality_map", f"{PL}+correction", "QAR"]),
    "plain": ({}, ["PL-QW", "QAR"]),
    "gated": (FULL | {"segmenter.gate": True}, ["PL-QW", f"{PL}+quality_map", f"{PL}+correction"]),
    "unguarded": (FULL | HACK | {"segmenter.guard": 1.0}, ["QAR"]),
    "guarded": (FULL | HACK | {"segmenter.guard": 0.05}, ["QAR"]),
    "all": (FULL, ["PL-C", "MT", "UA-MT", "MT-QW", "ICT", "ICT-QW", "CPS", "CPS-QW", "CL", "CL-QW",
                   "fixmatch", "unimatch", "bcp"]),
    "more": (FULL, ["cps+correction", "fixmatch+quality", "unimatch+quality", "bcp+quality",
                    f"{PL}+quality+regularizer", f"{PL}+correction+regularizer"]),
}  # fmt: skip
LABELLED = {"phantoms": None, "ph2": 14, "cvc_clinicdb": 60, "hippocampus": None}
VOLUMES = {"hippocampus"}
SMALL: dict[str, Any] = {
    "images.size": [64, 64], "images.unlabelled": 300, "precision": "no", "weak.steps_per_epoch": 6,
    "quality.epochs": 8, "quality.steps_per_epoch": 60, "quality.warmup": 60,
    "segmenter.options": {"channels": [16, 32, 64, 128], "strides": [2, 2, 2], "num_res_units": 0},
    "segmenter.epochs": 20, "segmenter.steps_per_epoch": 20, "segmenter.labelled_batch": 14,
    "segmenter.unlabelled_batch": 16, "segmenter.lr": 0.003, "segmenter.ema": 0.98, "segmenter.validate_every": 2,
    "segmenter.method_lambda.start": 5, "segmenter.method_lambda.ramp": 5, "segmenter.method_lambda.maximum": 0.5,
    "segmenter.regularizer_lambda.start": 5, "segmenter.regularizer_lambda.ramp": 5,
    "segmenter.regularizer_lambda.maximum": 0.1,
}  # fmt: skip
SMALL_VOLUMES: dict[str, Any] = {
    "images.size": [32, 48, 32], "images.volumes.patches": 2,
    "weak.lr": 0.005, "weak.epochs": 8, "weak.steps_per_epoch": 10, "weak.snapshots": [1, 2, 3, 5, 8],
    "quality.batch": 6, "quality.steps_per_epoch": 40,
    "segmenter.options": {"channels": [8, 16, 32, 64], "strides": [2, 2, 2], "num_res_units": 0},
    "segmenter.steps_per_epoch": 15, "segmenter.labelled_batch": 6, "segmenter.unlabelled_batch": 6,
}  # fmt: skip
FULL_VOLUMES = {"quality.soft": 0.0, "quality.dense": 8}
"""Soft masks are there for two classes only; the dense head is most of what a volume costs."""


def settings(data: str, folder: Path | None, seed: int, group: str, out: Path, paper: bool) -> Config:
    """A size that one core manages, 400 steps of 64x64 or 300 of 32x48x32; or the published setting."""
    volumes = folder is not None and looks_volumetric(folder)
    preset = load_preset("paper" if paper else "cpu", volumes)
    flat: dict[str, Any] = {"data": None if folder is None else str(folder), "out": str(out), "seed": seed}
    flat |= {"images.labelled": LABELLED.get(data, 20), "methods": GROUPS[group][1]}
    small = {} if paper else SMALL | (SMALL_VOLUMES if volumes else {})
    own = GROUPS[group][0]
    if volumes:
        own = own | {key: value for key, value in FULL_VOLUMES.items() if key in own}
    return from_dict(nested(flatten(to_dict(Config())) | preset | small | flat | own))


def nested(flat: dict[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in flat.items():
        *parents, last = key.split(".")
        at = tree
        for parent in parents:
            at = at.setdefault(parent, {})
        at[last] = value
    return tree
