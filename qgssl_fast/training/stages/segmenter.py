"""Stage 3: the segmenter, by any method and guide."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from ...data import DeviceStore
from ...methods import Method, Unlabelled
from ...networks import Segmenter
from ...ops.augment import augment, augment_views, strong_view, weak_view
from ...ops.losses import bce_dice, ce_dice
from ...quality.guides import Guide
from ..config import LambdaConfig, SegmenterConfig
from ..ema import Ema
from ..inference import mean_dice
from ..loop import Stage
from ..schedule import Order, ramp, stable_seed


class SegmenterStage(Stage):
    """Supervised loss + lambda(t) * the method's loss on unlabelled images; the EMA teacher is validated and saved."""

    score = "val_dice"
    higher_is_better = True

    def __init__(
        self,
        label: str,
        config: SegmenterConfig,
        model: Segmenter,
        method: Method,
        guide: Guide,
        stores: dict[str, DeviceStore],
        seed: int,
    ) -> None:
        self.name, self.config, self.model, self.method, self.guide = f"segmenter/{label}", config, model, method, guide
        self.labelled, self.unlabelled, self.val = stores["train"], stores["unlabeled"], stores["val"]
        self.num_classes = model.num_classes
        self.seed = stable_seed(seed, "segmenter")  # one for all methods: they differ in the method alone
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=config.weight_decay)
        self.ema = Ema(model, config.ema)
        self.lr, self.min_lr, self.clip, self.epochs = config.lr, config.min_lr, config.clip, config.epochs
        self.patience, self.validate_every = config.patience, config.validate_every
        self.steps_per_epoch = config.steps_per_epoch or -(-len(self.labelled) // config.labelled_batch)
        self.schedule: LambdaConfig = config.regularizer_lambda if guide.name == "regularizer" else config.method_lambda
        self.uses_unlabelled = method.needs_unlabelled or guide.name == "regularizer"
        self.patience_from = self.schedule.start + self.schedule.ramp if self.uses_unlabelled else 0
        self.orders = [
            Order(max(1, len(s)), stable_seed(seed, "segmenter", i))
            for i, s in enumerate((self.labelled, self.unlabelled))
        ]

    def loss(self, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        index, ids = self._draw(0, step, self.config.labelled_batch)
        images, masks = self.labelled.batch(index)
        views, masks = augment(images, masks, weak_view(), seed=self.seed, sample_ids=ids)
        logits = self.model(views)
        supervised = (bce_dice(logits, masks) if self.num_classes == 2 else ce_dice(logits, masks)).mean()
        weight = self.weight(step)
        if weight == 0:
            return supervised, {"supervised": supervised.detach()}
        index, ids = self._draw(1, step, self.config.unlabelled_batch)
        images, _ = self.unlabelled.batch(index)
        strong = strong_view() if self.config.strong else None
        pair = augment_views(images, None, weak_view(), strong, seed=self.seed + 1, sample_ids=ids)
        loss, values = self.method.loss(self.model, self.ema.teacher, Unlabelled(pair.weak, pair.strong), self.guide)
        lambda_ = torch.full((), weight)
        return supervised + weight * loss, {
            "supervised": supervised.detach(),
            "unlabelled": loss.detach(),
            "lambda": lambda_,
            **values,
        }

    def weight(self, step: int) -> float:
        """lambda at `step`; 0 where the method looks at no unlabelled image."""
        if not self.uses_unlabelled:
            return 0.0
        return ramp(step / self.steps_per_epoch, self.schedule.start, self.schedule.ramp, self.schedule.maximum)

    def after_step(self, step: int) -> None:
        self.ema.update(self.model, step)

    def validate(self) -> dict[str, float]:
        return {"val_dice": mean_dice(self.ema.teacher, self.val.images, self.val.masks, self.num_classes)}

    def modules(self) -> dict[str, nn.Module]:
        return {"model": self.model, "teacher": self.ema.teacher}

    def save(self, path: Path) -> None:
        self.ema.teacher.save(path)

    def _draw(self, which: int, step: int, batch: int) -> tuple[Tensor, Tensor]:
        index, ids = self.orders[which].batch(step, batch)
        return index.to(self.labelled.images.device), ids.to(self.labelled.images.device)
