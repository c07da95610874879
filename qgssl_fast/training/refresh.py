"""The predictor keeps up with the segmenter: now and then it learns from the masks that the segmenter makes now."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..data import DeviceStore
from ..ops.augment import augment
from ..ops.overlap import dice
from ..ops.pixels import in_unit
from ..quality.dense import dense_loss
from ..quality.predictor import QualityPredictor
from .inference import predict
from .schedule import stable_seed
from .stage import Part, adamw
from .stages import QualityStage

RATE = 0.1
"""Learning rate, as a part of the predictor's own."""


class Refresher:
    """Every time `steps` steps on masks of validation images by the current segmenter, never of the test set, beside
    as many corrupted masks of training images, so that the old is not forgotten.

    The segmenter has not learnt from validation images, so its masks there have the errors that it makes on others.
    stage: the predictor's own training, whose data, corruptions and settings are used.
    """

    def __init__(self, stage: QualityStage, val: DeviceStore, steps: int, seed: int) -> None:
        self.stage, self.val, self.steps, self.seed = stage, val, steps, stable_seed(seed, "refresh")
        self.predictor: QualityPredictor = stage.model

    def refresh(self, segmenter: nn.Module, time: int) -> float:
        """Learn from the segmenter's masks; `time` numbers the occasions. Returns the mean error on them before."""
        masks, images, truth = predict(segmenter, self.val.images), self.val.images, self.val.truth
        quality = dice(masks, truth, self.val.num_classes)
        with torch.no_grad():
            before = torch.cat([self.predictor(in_unit(x), m) for x, m in zip(images.split(64), masks.split(64))])
        optimizer = adamw([self.predictor], RATE * self.stage.lr, self.stage.config.weight_decay)
        self.predictor.requires_grad_(True).train()
        count = min(self.stage.config.batch, len(images))
        for k in range(self.steps):
            number = time * self.steps + k
            torch.manual_seed(stable_seed(self.seed, number))
            at = torch.randperm(len(images))[:count].to(images.device)
            ids = (number * count + torch.arange(count)).to(images.device)
            own = self._loss(images[at], masks[at], truth[at], quality[at], ids)
            corrupted, _ = self.stage.loss(self.stage.draw(number, Part()))
            optimizer.zero_grad()
            (own + corrupted).backward()
            nn.utils.clip_grad_norm_(self.predictor.parameters(), self.stage.config.clip)
            optimizer.step()
        self.predictor.requires_grad_(False).eval()
        return float((before - quality).abs().mean())  # sync

    def _loss(self, images: Tensor, masks: Tensor, truth: Tensor, quality: Tensor, ids: Tensor) -> Tensor:
        change, seed = self.stage.augmentation, self.seed
        views, moved = augment(images, masks, change, seed=seed, sample_ids=ids)
        found = self.predictor(views, moved, calibrated=False, dense=self.stage.dense)
        loss = F.smooth_l1_loss((found[0] if self.stage.dense else found).float(), quality, beta=self.stage.config.beta)
        if not self.stage.dense:
            return loss
        right = augment(images[:, :1], truth, change.geometry_only(), seed=seed, sample_ids=ids)[1]
        return loss + self.stage.config.dense_weight * dense_loss(found[1], (moved != right).byte(), right)
