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
from ...ops.pixels import kept_as
from ...quality.guide import Guide
from ..config import LambdaConfig, SegmenterConfig
from ..ema import Ema
from ..guard import Guard
from ..inference import mean_dice
from ..schedule import ramp, stable_seed
from ..spans import span
from ..stage import Batch, Part, Stage, adamw, take, to_device


class SegmenterStage(Stage):
    """Supervised loss + lambda(t) * the method's loss on unlabelled images; the EMA teacher is validated and saved."""

    memory_settings = "segmenter.labelled_batch and segmenter.unlabelled_batch"
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
        guard: Guard | None = None,
        refresh: Callable[[nn.Module, int], float] | None = None,
        predictor: nn.Module | None = None,
    ) -> None:
        """guard: watches the regulariser. refresh: lets `predictor`, the guide's own, learn from the kept network's
        masks; called after every `config.refresh` epochs with their number."""
        self.guard, self.refresh, self.predictor, self.notes = guard, refresh, predictor, list[str]()
        self.name, self.config, self.model, self.method, self.guide = f"segmenter/{label}", config, model, method, guide
        self.labelled, self.unlabelled, self.val = stores["train"], stores["unlabeled"], stores["val"]
        self.several = isinstance(model, Ensemble)
        self.members: list[Any] = list(model.members) if isinstance(model, Ensemble) else [model]
        self.networks = self.trained = {"model": model}
        self.num_classes = self.members[0].num_classes
        self.seed = stable_seed(seed, "segmenter")  # one for all methods: they differ in the method alone
        self.optimizer = adamw([model], config.lr, config.weight_decay)
        self.ema = Ema(model, config.ema)
        if guard is not None:
            guard.watch(model=model, teacher=self.ema.teacher)
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
            s.order(stable_seed(seed, "segmenter", i)) for i, s in enumerate((self.labelled, self.unlabelled))
        ]

    def draw(self, step: int, part: Part) -> Batch:
        batch = self._draw("labelled", 0, step, self.config.labelled_batch, part)
        weights = self.weights(step)
        if any(weights.values()):  # unlabelled images are not touched while lambda is 0
            batch |= self._draw("unlabelled", 1, step, self.config.unlabelled_batch, part)
            numbers = {f"lambda_{name}": weight for name, weight in weights.items()}
            numbers["progress"] = step / max(1, self.epochs * self.steps_per_epoch)
            device = self.labelled.device
            batch |= {name: to_device(torch.tensor(number), device) for name, number in numbers.items()}
        return batch

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        with span("data"):
            ids = batch["labelled_ids"]
            images, truth, index = self.labelled.labelled_source(batch["labelled"], self.seed, ids)
        with span("augmentation"):
            views, masks = augment(images, truth, weak_view(), seed=self.seed, sample_ids=ids, index=index)
        with span("losses"):
            supervised = torch.stack([self._supervised(one(views), masks) for one in self.students()]).sum()
        values = {"supervised": supervised.detach()}
        if "unlabelled" not in batch:
            return supervised, values
        unlabelled, students = self._unlabelled(batch, (views, masks)), self.students()
        with span("losses"):
            student = students if self.method.networks > 1 else students[0]
            found = self.method.losses(student, self.ema.teacher, unlabelled, self.guide)
            total = supervised
            for name, term in (("method", found.method), ("regularizer", found.regularizer)):
                if term is not None:
                    weight = batch[f"lambda_{name}"]
                    total = total + weight * term
                    values |= {name: term.detach(), f"lambda_{name}": weight}
        return total, values | found.logs

    def students(self) -> list[Callable[..., Any]]:
        """The networks that are trained; several go through the one module that the loop may have wrapped."""
        model = self.trained["model"]
        return [partial(model, member=k) for k in range(self.method.networks)] if self.several else [model]

    def _supervised(self, logits: Tensor, masks: Tensor) -> Tensor:
        return (bce_dice(logits, masks) if self.num_classes == 2 else ce_dice(logits, masks)).mean()

    def _unlabelled(self, batch: Batch, labelled: tuple[Tensor, Tensor]) -> Unlabelled:
        """The views that the method asks for."""
        with span("data"):
            ids = batch["unlabelled_ids"]
            images, _, index = self.unlabelled.source(batch["unlabelled"], self.seed + 1, ids)
        with span("augmentation"):
            strong = strong_view() if self.config.strong else None
            pair = augment_views(images, None, weak_view(), strong, seed=self.seed + 1, sample_ids=ids, index=index)
            second = None
            if self.method.strong_views > 1:
                second = pair.weak
                if strong is not None:
                    weak = kept_as(pair.weak, images.dtype)
                    second, _ = augment(weak, None, strong, seed=self.seed + 2, sample_ids=ids)
        return Unlabelled(pair.weak, pair.strong, second, labelled, batch["progress"])

    def scheduled(self, step: int) -> dict[str, float]:
        """lambda of each term at `step`; none where the method looks at no unlabelled image."""
        epoch = step / self.steps_per_epoch
        return {name: ramp(epoch, s.start, s.ramp, s.maximum) for name, s in self.schedules.items()}

    def weights(self, step: int) -> dict[str, float]:
        """lambda as it is used: what the guard leaves of the schedule."""
        found = self.scheduled(step)
        if self.guard is not None:
            found["regularizer"] *= self.guard.scale
        return found

    def after_step(self, step: int) -> None:
        self.ema.update(self.model, step)

    def after_epoch(self, epoch: int) -> None:
        self.epoch = epoch
        if self.refresh is not None and epoch % self.config.refresh == 0 and epoch < self.epochs:
            error = self.refresh(self.kept, epoch // self.config.refresh)
            self.notes.append(f"the predictor was off by {error:.3f} on the masks of now, and has learnt from them")

    def validate(self) -> dict[str, float]:
        found = {}
        if self.guard is not None:  # first: what is validated and saved are the weights that it leaves
            active, cuts = self.scheduled(self.epoch * self.steps_per_epoch - 1)["regularizer"] > 0, self.guard.cuts
            found = self.guard.look(self.members[0], self.val, active)
            if self.guard.cuts > cuts:
                self._forget_momentum()
        return found | {"val_dice": mean_dice(self.kept, self.val.images, self.val.truth, self.num_classes)}

    def _forget_momentum(self) -> None:
        for state in self.optimizer.state.values():
            state["exp_avg"].zero_()

    def told(self) -> list[str]:
        notes, self.notes = self.notes, []
        if self.guard is not None:
            notes, self.guard.said = notes + self.guard.said, []
        return notes

    def modules(self) -> dict[str, nn.Module]:
        found: dict[str, nn.Module | None] = {
            "model": self.model, "teacher": self.ema.teacher, "guard": self.guard, "predictor": self.predictor
        }  # fmt: skip
        return {name: module for name, module in found.items() if module is not None}

    def save(self, path: Path) -> None:
        self.kept.save(path)

    @property
    def kept(self) -> Segmenter:
        """The moving average that is validated, saved and tested: of several networks the first one's."""
        teacher: Any = self.ema.teacher
        return teacher.members[0] if self.several else teacher

    def clip_groups(self) -> list[list[nn.Parameter]]:
        """Each network's gradient is clipped by its own norm: several learn side by side as each would alone."""
        return [list(network.parameters()) for network in self.members]

    def helpers(self) -> list[nn.Module]:
        guides = getattr(self.guide, "guides", [self.guide])
        return [value for guide in guides for value in vars(guide).values() if isinstance(value, nn.Module)]

    def _draw(self, name: str, which: int, step: int, size: int, part: Part) -> Batch:
        index, ids = take((self.labelled, self.unlabelled)[which], self.orders[which], step, size, part)
        return {name: index, f"{name}_ids": ids}
