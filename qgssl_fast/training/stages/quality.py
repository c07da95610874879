"""Stage 2: the quality predictor, trained on corrupted masks and the weak models' masks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ...corruption import Corruptor, MaskBank
from ...data import DeviceStore
from ...ops.augment import Augmentation, augment, image_only, strong_view, weak_view
from ...quality.dense import dense_loss
from ...quality.evaluate import evaluate_predictor
from ...quality.predictor import QualityPredictor
from ...recipes import Recipe
from ..config import QualityConfig
from ..schedule import stable_seed
from ..spans import span
from ..stage import Batch, Part, Stage, adamw, take


@dataclass
class FixedSet:
    """Masks of a split, drawn once: masks uint8 `[N, *S]`, quality `[N]` or `[N, C-1]`, image_ids `[N]` into the store.

    labels: the rows that made each mask ("erosion_5 + shift_small"); groups: "corrupted" or "weak model".
    """

    store: DeviceStore
    image_ids: Tensor
    masks: Tensor
    quality: Tensor
    labels: list[str]
    groups: np.ndarray

    @classmethod
    def draw(cls, store: DeviceStore, bank: MaskBank, recipe: Recipe, count: int, seed: int) -> FixedSet:
        """`count` masks of every image of `store`, by `recipe` from `seed`; the share of weak masks is the recipe's.

        They are hard, also where the recipe softens: figures then compare between recipes. A set of one image has no
        donor for cross_image, as the bank says.
        """
        index = torch.arange(len(store), device=store.images.device).repeat_interleave(count)
        ids = torch.arange(len(index), device=index.device)
        truth = store.truth.index_select(0, index).to(store.device)
        index = index.to(store.device)
        out = Corruptor(recipe.replace(softness=None), bank, seed, store.num_classes)(truth, ids, image_ids=index)
        names = [[recipe.rows[r].name for r in rows if r >= 0] for rows in out.rows.tolist()]
        weak = [any(recipe.rows[r].op == "weak" for r in rows if r >= 0) for rows in out.rows.tolist()]
        labels = [" + ".join(parts) or "identity" for parts in names]
        return cls(store, index, out.masks, out.quality, labels, np.where(weak, "weak model", "corrupted"))

    def select(self, group: str) -> FixedSet:
        """The part of one group."""
        keep = np.flatnonzero(self.groups == group)
        at = torch.as_tensor(keep, device=self.masks.device)
        labels = [self.labels[i] for i in keep]
        return FixedSet(self.store, self.image_ids[at], self.masks[at], self.quality[at], labels, self.groups[keep])

    def judge(self, predictor: QualityPredictor, dependence: bool = False) -> dict[str, Any]:
        """The figures of :func:`evaluate_predictor` on these masks."""
        images = self.store.images
        return evaluate_predictor(predictor, images, self.masks, self.quality, self.image_ids, dependence=dependence)


def augmentation(kind: str) -> Augmentation:
    """image_only; moved: with the weak view's geometry; strong: that, with the strong view's look."""
    if kind == "image_only":
        return image_only()
    look, weak = image_only() if kind == "moved" else strong_view(), weak_view()
    return replace(look, flip=weak.flip, rotate_deg=weak.rotate_deg, scale=weak.scale, translate=weak.translate)


def to_bytes(masks: Tensor) -> Tensor:
    """Masks, or probabilities k / 255 as a recipe that softens gives them, as uint8."""
    return (masks * 255).round().to(torch.uint8) if masks.is_floating_point() else masks


class QualityStage(Stage):
    """SmoothL1 of predicted and true quality, AdamW, cosine schedule; chosen by the MAE on fixed validation masks."""

    name = "quality"
    memory_settings = "quality.batch"
    score = "val_mae"
    higher_is_better = False

    def __init__(
        self,
        config: QualityConfig,
        model: QualityPredictor,
        train: DeviceStore,
        bank: MaskBank,
        validation: FixedSet,
        recipe: Recipe,
        seed: int,
    ) -> None:
        self.config, self.model, self.train, self.validation = config, model, train, validation
        self.networks = self.trained = {"model": model}
        self.seed = stable_seed(seed, self.name)
        self.optimizer = adamw([model], config.lr, config.weight_decay)
        self.lr, self.clip, self.epochs, self.patience = config.lr, config.clip, config.epochs, config.patience
        self.warmup = config.warmup
        self.steps_per_epoch = config.steps_per_epoch or -(-len(train) * config.corruptions_per_image // config.batch)
        self.order = train.order(stable_seed(seed, self.name, "order"))
        self.corruptor = Corruptor(recipe, bank, self.seed, train.num_classes)
        self.augmentation, self.dense = augmentation(config.augmentation), model.decoder is not None

    def draw(self, step: int, part: Part) -> Batch:
        index, ids = take(self.train, self.order, step, self.config.batch, part)
        return {"index": index, "ids": ids}

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        index, ids = batch["index"], batch["ids"]
        with span("data"):
            images, truth = self.train.pairs(index)
        with span("corruption"):
            corrupted = self.corruptor(truth, ids, image_ids=index.to(ids.device), errors=self.dense)
        with span("augmentation"):
            views, masks = augment(images, to_bytes(corrupted.masks), self.augmentation, seed=self.seed, sample_ids=ids)
            if corrupted.masks.is_floating_point():
                masks = masks.float() / 255
            target = truth
            if self.dense:
                # The same seed and ids move the errors (of several classes the truth) as the image is moved.
                target = truth if corrupted.errors is None or self.train.num_classes > 2 else corrupted.errors
                moved = self.augmentation.geometry_only()
                target = augment(images[:, :1], target, moved, seed=self.seed, sample_ids=ids)[1]
        found = self.trained["model"](views, masks, calibrated=False, dense=self.dense)
        predicted = (found[0] if self.dense else found).float()
        with span("losses"):
            loss = F.smooth_l1_loss(predicted, corrupted.quality, beta=self.config.beta)
            values = {"mae": (predicted.detach() - corrupted.quality).abs().mean()}
            if self.dense:
                values["dense"] = dense_loss(found[1], target, target)
                loss = loss + self.config.dense_weight * values["dense"]
        return loss, {name: value.detach() for name, value in values.items()}

    def validate(self) -> dict[str, float]:
        found = self.validation.judge(self.model)
        return {f"val_{key}": float(found[key]) for key in ("mae", "pearson", "spearman")}

    def save(self, path: Path) -> None:
        self.model.save(path)
