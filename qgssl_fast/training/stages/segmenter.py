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
from ..loop import Stage, adamw
from ..schedule import Order, ramp, stable_seed


class SegmenterStage(Stage):
    """Supervised loss + lambda(t) * the method's loss on unlabelled images; the EMA teacher is validated and saved."""

    model: Segmenter
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
        self.optimizer = adamw(model, config.lr, config.weight_decay)
        self.ema = Ema(model, config.ema)
        self.lr, self.min_lr, self.clip, self.epochs = config.lr, config.min_lr, config.clip, config.epochs
        self.patience, self.validate_every = config.patience, config.validate_every
        self.steps_per_epoch = config.steps_per_epoch or -(-len(self.labelled) // config.labelled_batch)
        self.schedules: dict[str, LambdaConfig] = {}
        if method.needs_unlabelled:
            self.schedules["method"] = config.method_lambda
        if guide.regularizes:
            self.schedules["regularizer"] = config.regularizer_lambda
        self.patience_from = max((s.start + s.ramp for s in self.schedules.values()), default=0)
        self.orders = [
            Order(max(1, len(s)), stable_seed(seed, "segmenter", i))
            for i, s in enumerate((self.labelled, self.unlabelled))
        ]

    def loss(self, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        index, ids = self._draw(0, step, self.config.labelled_batch)
        images, masks = self.labelled.pairs(index)
        views, masks = augment(images, masks, weak_view(), seed=self.seed, sample_ids=ids)
        logits = self.model(views)
        supervised = (bce_dice(logits, masks) if self.num_classes == 2 else ce_dice(logits, masks)).mean()
        values = {"supervised": supervised.detach()}
        weights = self.weights(step)
        if not any(weights.values()):  # unlabelled images are not touched while lambda is 0
            return supervised, values
        index, ids = self._draw(1, step, self.config.unlabelled_batch)
        images, _ = self.unlabelled.batch(index)
        strong = strong_view() if self.config.strong else None
        pair = augment_views(images, None, weak_view(), strong, seed=self.seed + 1, sample_ids=ids)
        found = self.method.losses(self.model, self.ema.teacher, Unlabelled(pair.weak, pair.strong), self.guide)
        total = supervised
        for name, term in (("method", found.method), ("regularizer", found.regularizer)):
            if term is not None:
                total = total + weights[name] * term
                values |= {name: term.detach(), f"lambda_{name}": torch.full((), weights[name])}
        return total, values | found.logs

    def weights(self, step: int) -> dict[str, float]:
        """lambda of each term at `step`; none where the method looks at no unlabelled image."""
        epoch = step / self.steps_per_epoch
        return {name: ramp(epoch, s.start, s.ramp, s.maximum) for name, s in self.schedules.items()}

    def after_step(self, step: int) -> None:
        self.ema.update(self.model, step)

    def validate(self) -> dict[str, float]:
        return {"val_dice": mean_dice(self.ema.teacher, self.val.images, self.val.truth, self.num_classes)}

    def modules(self) -> dict[str, nn.Module]:
        return {"model": self.model, "teacher": self.ema.teacher}

    def save(self, path: Path) -> None:
        self.ema.teacher.save(path)

    def _draw(self, which: int, step: int, batch: int) -> tuple[Tensor, Tensor]:
        index, ids = self.orders[which].batch(step, batch)
        return index.to(self.labelled.images.device), ids.to(self.labelled.images.device)
