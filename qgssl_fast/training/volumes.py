"""Whole test volumes: predicted by sliding windows or slice by slice, judged and written on the files' own grid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ..data import DeviceStore, VolumePlan
from ..data.resize import nearest
from ..data.volumes import Prepared, cut, resize
from ..methods import hard_labels
from ..networks import Segmenter
from ..ops.overlap import dice
from ..ops.pixels import in_unit
from ..quality.evaluate import evaluate_predictor
from ..quality.predictor import QualityPredictor
from ..reporting import figures
from ..reporting.metrics import segmentation_metrics, summarise
from .inference import predict
from .inputs import Inputs
from .results import scalars, write_scores

OVERLAP = 0.5
"""Of neighbouring windows, which are blended by a Gaussian."""


@torch.no_grad()
def predict_volume(model: nn.Module, plan: VolumePlan, prepared: Prepared) -> np.ndarray:
    """Class numbers uint8 [D, H, W] on the file's grid (RAS)."""
    from monai.inferers.utils import sliding_window_inference

    device = next(model.parameters()).device
    image = torch.from_numpy(prepared.image)
    if plan.sliced:
        slices = np.stack([resize(part, plan.size) for part in image.transpose(0, 1).numpy()])
        masks = predict(model, torch.from_numpy(slices).to(device)).cpu().numpy()
        return np.stack([nearest(mask, prepared.grid.shape[1:]) for mask in masks])
    training = model.training
    model.eval()
    values = in_unit(image[None].to(device))
    logits: Any = sliding_window_inference(values, plan.size, 4, model, OVERLAP, mode="gaussian")
    model.train(training)
    return nearest(hard_labels(logits)[0].cpu().numpy(), prepared.grid.shape)


def judge_volumes(
    label: str, folder: Path, inputs: Inputs, predictor: QualityPredictor, pictures: Path
) -> dict[str, Any]:
    """Test figures of `best` and `last` over whole volumes, HD95 in mm; of `best` also NIfTI files, a CSV, pictures."""
    test, plan = inputs.stores["test"], inputs.stores["test"].plan
    assert plan is not None
    found: dict[str, Any] = {}
    for which in ("best", "last"):
        model = Segmenter.load(folder / f"{which}.safetensors").to(test.device)
        parts, shown = [], []
        for case in test.cases:
            prepared = plan.prepare(case)
            assert prepared.truth is not None  # a test case has a mask
            classes = predict_volume(model, plan, prepared)
            pair = classes[None], prepared.truth[None]
            parts.append(segmentation_metrics(*pair, inputs.num_classes, prepared.grid.spacing))
            if which == "best":
                (folder / "predictions").mkdir(exist_ok=True)
                plan.write(prepared, classes, folder / "predictions" / f"{case.name}.nii.gz")
                shown.append(_fullest(prepared, classes, plan))
        measured = {key: np.concatenate([part[key] for part in parts]) for key in ("dice", "iou", "hd95")}
        found[which] = summarise(measured)
        if which == "best":
            quality = _quality(predictor, model, test, inputs.num_classes)
            found["quality_of_predictions"] = scalars(quality)
            names = [case.name for case in test.cases]
            predicted = _by_case(test, quality["predicted"])
            write_scores(folder / "test_scores.csv", names, measured, predicted)
            _draw(shown, names, measured["dice"], pictures / f"40-overlays-{label}.png", label)
    return found


def _quality(predictor: QualityPredictor, model: nn.Module, test: DeviceStore, num_classes: int) -> dict[str, Any]:
    masks = predict(model, test.images, 4 if test.images.dim() == 5 else 64)
    true = dice(masks, test.truth.to(masks.device), num_classes)
    return evaluate_predictor(predictor, test.images, masks, true, dependence=False, batch_size=8)


def _by_case(test: DeviceStore, values: Any) -> np.ndarray:
    """Mean over the samples of each case."""
    values = np.asarray(values).reshape(len(test), -1).mean(1)
    owner = np.asarray(test.owner)
    return np.array([values[owner == k].mean() for k in range(len(test.cases))])


def _fullest(prepared: Prepared, classes: np.ndarray, plan: VolumePlan) -> tuple[np.ndarray, ...]:
    """Image [H, W], truth and prediction of the slice with most foreground."""
    assert prepared.truth is not None
    image = resize(prepared.image[:1], prepared.grid.shape)[0]
    z = int(((prepared.truth != 0).sum((1, 2)) + (classes != 0).sum((1, 2))).argmax())
    return tuple(values[z, ::-1] for values in (image, prepared.truth, classes))  # anterior up, as viewers show it


def _draw(shown: list[tuple[np.ndarray, ...]], names: list[str], scores: np.ndarray, path: Path, label: str) -> None:
    path.parent.mkdir(exist_ok=True)
    size = tuple(max(part[0].shape[axis] for part in shown) for axis in (0, 1))
    images, truth, classes = (
        np.stack([cut(part[k], tuple((h - s) // 2 for h, s in zip(part[k].shape, size)), size) for part in shown])
        for k in range(3)
    )
    per_case = scores.reshape(len(scores), -1).mean(1)
    figures.overlays(images[:, None], truth, classes, names, per_case, path, f"{label}: best and worst test volumes")
