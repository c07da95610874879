"""Stage 3: the segmenter, by any method and guide."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...data import DeviceStore
from ...methods import Method, Unlabelled
from ...networks import Ensemble, Segmenter
from ...ops.augment import augment, augment_views, strong_view, weak_view
from ...ops.losses import bce_dice, ce_dice
from ...quality.guide import Guide
from ..config import LambdaConfig, SegmenterConfig
from ..ema import Ema
from ..inference import mean_dice
from ..loop import Stage, adamw
from ..schedule import Order, ramp, stable_seed


class SegmenterStage(Stage):
    """Supervised loss + lambda(t) * the method's loss on unlabelled images; the EMA teacher is validated and saved."""

    model: Any
    score = "val_dice"
    higher_is_better = True

    def __init__(
        self,
        label: str,
        config: SegmenterConfig,
        model: Segmenter | Ensemble,
        method: Method,
        guide: Guide,
        stores: dict[str, DeviceStore],
        seed: int,
    ) -> None:
        self.name, self.config, self.model, self.method, self.guide = f"segmenter/{label}", config, model, method, guide
        self.labelled, self.unlabelled, self.val = stores["train"], stores["unlabeled"], stores["val"]
        self.several = isinstance(model, Ensemble)
        self.networks: list[Any] = list(model.members) if isinstance(model, Ensemble) else [model]
        self.num_classes = self.networks[0].num_classes
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
        supervised = torch.stack([self._supervised(one(views), masks) for one in self.students()]).sum()
        values = {"supervised": supervised.detach()}
        weights = self.weights(step)
        if not any(weights.values()):  # unlabelled images are not touched while lambda is 0
            return supervised, values
        batch = self._unlabelled(step, (views, masks))
        students = self.students()
        student = students if self.method.networks > 1 else students[0]
        found = self.method.losses(student, self.ema.teacher, batch, self.guide)
        total = supervised
        for name, term in (("method", found.method), ("regularizer", found.regularizer)):
            if term is not None:
                total = total + weights[name] * term
                values |= {name: term.detach(), f"lambda_{name}": torch.full((), weights[name])}
        return total, values | found.logs

    def students(self) -> list[Callable[..., Any]]:
        """The networks that are trained; several go through the one module that the loop may have wrapped."""
        return [partial(self.model, member=k) for k in range(self.method.networks)] if self.several else [self.model]

    def _supervised(self, logits: Tensor, masks: Tensor) -> Tensor:
        return (bce_dice(logits, masks) if self.num_classes == 2 else ce_dice(logits, masks)).mean()

    def _unlabelled(self, step: int, labelled: tuple[Tensor, Tensor]) -> Unlabelled:
        """The views that the method asks for, of batch `step`."""
        index, ids = self._draw(1, step, self.config.unlabelled_batch)
        images, _ = self.unlabelled.batch(index)
        strong = strong_view() if self.config.strong else None
        pair = augment_views(images, None, weak_view(), strong, seed=self.seed + 1, sample_ids=ids)
        second = None
        if self.method.strong_views > 1:
            second = pair.weak
            if strong is not None:
                weak = (pair.weak * 255).round().to(torch.uint8)
                second, _ = augment(weak, None, strong, seed=self.seed + 2, sample_ids=ids)
        progress = step / max(1, self.epochs * self.steps_per_epoch)
        return Unlabelled(pair.weak, pair.strong, second, labelled, progress)

    def weights(self, step: int) -> dict[str, float]:
        """lambda of each term at `step`; none where the method looks at no unlabelled image."""
        epoch = step / self.steps_per_epoch
        return {name: ramp(epoch, s.start, s.ramp, s.maximum) for name, s in self.schedules.items()}

    def after_step(self, step: int) -> None:
        self.ema.update(self.model, step)

    def validate(self) -> dict[str, float]:
        return {"val_dice": mean_dice(self.kept, self.val.images, self.val.truth, self.num_classes)}

    def modules(self) -> dict[str, nn.Module]:
        return {"model": self.model, "teacher": self.ema.teacher}

    def save(self, path: Path) -> None:
        self.kept.save(path)

    @property
    def kept(self) -> Segmenter:
        """The moving average that is validated, saved and tested: of several networks the first one's."""
        teacher: Any = self.ema.teacher
        return teacher.members[0] if self.several else teacher

    def clip_groups(self) -> list[list[nn.Parameter]]:
        """Each network's gradient is clipped by its own norm: several learn side by side as each would alone."""
        return [list(network.parameters()) for network in self.networks]

    def _draw(self, which: int, step: int, batch: int) -> tuple[Tensor, Tensor]:
        index, ids = self.orders[which].batch(step, batch)
        return index.to(self.labelled.images.device), ids.to(self.labelled.images.device)
