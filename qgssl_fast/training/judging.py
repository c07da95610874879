"""What is asked of the predictor beside its training: soft masks, calibration, and how strongly a guide may act."""

from __future__ import annotations

import torch

from ..corruption import MaskBank
from ..data import DeviceStore
from ..errors import InputError
from ..quality.gate import Shown, find_strength
from ..quality.guide import Guide
from ..quality.predictor import QualityPredictor
from ..recipes import Recipe
from ..recipes.softness import Softness
from .config import Config
from .inputs import Inputs
from .stages import FixedSet


def new_predictor(config: Config, inputs: Inputs) -> QualityPredictor:
    """An untrained predictor for these images; or the one of `quality.file`, checked to have been made for such."""
    c, i, dims = config.quality, inputs, len(config.images.size)
    if c.file:
        return QualityPredictor.load(
            c.file, channels=i.channels, num_classes=i.num_classes, spatial_dims=dims, mean=i.mean, std=i.std
        )
    options = c.options | ({"dense": c.dense} if c.dense else {})
    return QualityPredictor(c.backbone, dims, i.channels, i.num_classes, i.mean, i.std, options)


def softened(recipe: Recipe, share: float, num_classes: int) -> Recipe:
    """The recipe with a share of its masks blurred by 1 to 3 px and sharpened by 1 to 4; 0: as it is."""
    if not share:
        return recipe
    if num_classes > 2:
        raise InputError(f"quality.soft: masks of two classes only, got {num_classes}")
    return recipe.replace(softness=Softness(share, 1, 3, 1.0, 4.0))


def calibrate(predictor: QualityPredictor, masks: FixedSet) -> None:
    """Isotonic regression of the predictor's raw scores on these masks (of validation images)."""
    raw = masks.judge(_Raw(predictor))  # type: ignore[arg-type]
    predictor.calibrate(raw["predicted"], raw["true"])


class _Raw(torch.nn.Module):
    def __init__(self, predictor: QualityPredictor) -> None:
        super().__init__()
        self.predictor = predictor

    def forward(self, images: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        return self.predictor(images, masks, calibrated=False)


def gate(guide: Guide, bank: MaskBank | None, store: DeviceStore) -> dict[str, Shown]:
    """Set the strength of the guides by :func:`~qgssl_fast.quality.gate.find_strength`; what was found, by guide.

    bank: the weak models' masks of the validation images, which neither they nor the predictor learnt from; of the
    snapshots the later half, which is nearer to what a segmenter will say.
    """
    if bank is None or not bank.snapshots:
        raise InputError("segmenter.gate: wanted weak models' masks of validation images (weak.snapshots), got none")
    later = range(bank.snapshots // 2, bank.snapshots)
    device = store.images.device
    masks = torch.cat([bank.weak(k).to(device) for k in later])
    ids = torch.arange(len(store), device=device).repeat(len(later))
    return find_strength(guide, store.images, masks, store.truth, ids)
