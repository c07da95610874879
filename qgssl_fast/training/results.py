"""The figures and pictures of a finished stage."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..files import replacing
from ..networks import Segmenter
from ..quality.calibration import expected_calibration_error, reliability
from ..quality.evaluate import evaluate_predictor, spread_agreement
from ..quality.predictor import QualityPredictor
from ..reporting import figures
from ..reporting.metrics import segmentation_metrics
from .inference import predict
from .inputs import Inputs
from .stages import FixedSet

SCALARS = ("mae", "pearson", "spearman", "n")


def duration(seconds: float) -> str:
    """ "47 s", "2 min 11 s" or "3 h 20 min"."""
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 6000 else f"{whole // 3600} h {whole % 3600 // 60} min"


def judge_predictor(predictor: QualityPredictor, fixed: dict[str, FixedSet], folder: Path) -> dict[str, Any]:
    """The predictor on the fixed test masks (of the validation if there is no test split), by group; the image test."""
    split = "test" if "test" in fixed else "val"
    masks = fixed[split]
    everything = masks.judge(predictor, dependence=True)
    table = reliability(everything["predicted"], everything["true"])
    found: dict[str, Any] = {"split": split, "all": scalars(everything), "ece": expected_calibration_error(table)}
    of_masks = (masks.store.images, masks.masks, masks.quality, masks.image_ids)
    found["uncertainty"] = spread_agreement(predictor, *of_masks)
    for key in ("blacked_out", "shuffled"):
        if everything[key] is not None:
            found[f"image_{key}"] = scalars(everything[key])
    for group, name in (("corrupted", "corrupted"), ("weak model", "weak")):
        part = masks.select(group)
        if len(part.labels):
            found[name] = scalars(part.judge(predictor))
    folder.mkdir(exist_ok=True)
    true, predicted = np.asarray(everything["true"]), np.asarray(everything["predicted"])
    title = f"Predicted and true Dice of {len(true)} fixed {split} masks"
    groups = np.repeat(masks.groups, true[0].size).tolist()
    figures.quality_scatter(true.ravel(), predicted.ravel(), folder / "20-quality.png", title, groups)
    show = np.linspace(0, len(true) - 1, min(24, len(true))).astype(int)
    at = [int(i) for i in show]
    images, truth = masks.store.pairs(masks.image_ids[at])
    figures.corruption_gallery(
        images.cpu().numpy(), truth.cpu().numpy(), masks.masks[at].cpu().numpy(),
        [masks.labels[i] for i in at], true[at].reshape(len(at), -1).mean(1), folder / "30-corruptions.png",
    )  # fmt: skip
    return found


def judge_segmenter(
    label: str, folder: Path, inputs: Inputs, predictor: QualityPredictor, pictures: Path
) -> dict[str, Any]:
    """Test figures of `best` and `last`, a CSV row per image, and how well the predictor knows these masks."""
    test = inputs.stores["test"]
    true = test.truth
    found: dict[str, Any] = {}
    for which in ("best", "last"):
        model = Segmenter.load(folder / f"{which}.safetensors").to(test.device)
        masks = predict(model, test.images)
        measured = segmentation_metrics(masks, true, inputs.num_classes)
        found[which] = measured["summary"]
        if which == "best":
            dice = torch.as_tensor(measured["dice"])
            per_image = measured["dice"].reshape(len(true), -1).mean(1)
            quality = evaluate_predictor(predictor, test.images, masks, dice, dependence=False)
            found["quality_of_predictions"] = scalars(quality)
            write_scores(folder / "test_scores.csv", test.names, measured, quality["predicted"])
            pictures.mkdir(exist_ok=True)
            title = f"{label}: best and worst test images"
            arrays = (test.images.cpu().numpy(), true.cpu().numpy(), masks.cpu().numpy())
            figures.overlays(*arrays, test.names, per_image, pictures / f"40-overlays-{label}.png", title)
    return found


def draw_comparison(folder: Path, labels: list[str]) -> None:
    """Dice of each test image by method."""
    pictures = folder / "figures"
    pictures.mkdir(exist_ok=True)
    scores = {
        label: read_scores(path)
        for label in labels
        if (path := folder / "segmenter" / label / "test_scores.csv").exists()
    }
    if scores:
        figures.dice_comparison(scores, pictures / "05-dice.png")


def mean_of(figures_by_method: dict[str, dict[str, float]]) -> dict[str, float]:
    """Mean over methods of the predictor's figures on their outputs."""
    values = list(figures_by_method.values())
    return {key: float(np.mean([v[key] for v in values])) for key in values[0]}


def read_scores(path: Path) -> np.ndarray:
    """Dice per test image of a test_scores.csv."""
    with path.open(encoding="utf-8", newline="") as file:
        return np.array([float(row["dice"]) for row in csv.DictReader(file)])


def write_scores(path: Path, names: list[str], measured: dict[str, Any], predicted: Any) -> None:
    with replacing(path) as beside, beside.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        dice = np.asarray(measured["dice"])
        classes = list(dice.T) if dice.ndim == 2 else []
        each = [f"dice_{k + 1}" for k in range(len(classes))]
        writer.writerow(["name", "dice", "iou", "hd95", "predicted_quality", *each])
        columns = (dice, measured["iou"], measured["hd95"], predicted, *classes)
        writer.writerows([name, *(f"{float(np.mean(c[i])):.6f}" for c in columns)] for i, name in enumerate(names))


def scalars(found: dict[str, Any]) -> dict[str, float]:
    return {key: float(found[key]) if key != "n" else int(found[key]) for key in SCALARS if key in found}
