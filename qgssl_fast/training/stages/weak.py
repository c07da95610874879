"""Stage 1: a small segmenter, half trained on purpose; its predictions are masks with real errors."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from ...corruption import MaskBank
from ...data import DeviceStore
from ...networks import Segmenter
from ...ops.augment import augment, weak_view
from ...ops.losses import soft_dice
from ..config import WeakConfig
from ..inference import mean_dice, predict
from ..ranks import world
from ..schedule import stable_seed
from ..spans import span
from ..stage import Batch, Part, Stage, adamw, take


class WeakStage(Stage):
    """Dice loss, Adam; after the epochs of `config.snapshots` the predictions on every split go into its mask bank."""

    name = "weak"
    memory_settings = "weak.batch"
    score = "val_dice"
    higher_is_better = True
    constant_lr = True

    def __init__(
        self,
        config: WeakConfig,
        model: Segmenter,
        stores: dict[str, DeviceStore],
        folder: Path,
        seed: int,
        held_out: DeviceStore | None = None,
        name: str = "weak",
    ) -> None:
        """held_out: images whose masks are kept in place of those of stores["train"], which the model learns from."""
        self.config, self.model, self.seed, self.name = config, model, seed, name
        self.stores = stores if held_out is None else stores | {"train": held_out}
        self.networks = self.trained = {"model": model}
        self.train = stores["train"]
        self.optimizer = adamw([model], config.lr)  # without decay it is Adam
        self.lr, self.epochs = config.lr, config.epochs
        self.batch = min(config.batch, len(self.train))
        self.steps_per_epoch = config.steps_per_epoch or -(-len(self.train) // self.batch)
        self.order = self.train.order(stable_seed(seed, self.name, "order"))
        self.folder = folder
        self.banks = {split: self._bank(split) for split in ("train", "val", "test") if len(stores[split])}

    def draw(self, step: int, part: Part) -> Batch:
        index, ids = take(self.train, self.order, step, self.batch, part)
        return {"index": index, "ids": ids}

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        with span("data"):
            images, masks, index = self.train.labelled_source(batch["index"], self.seed, batch["ids"])
        with span("augmentation"):
            views, masks = augment(images, masks, weak_view(), seed=self.seed, sample_ids=batch["ids"], index=index)
        logits = self.trained["model"](views)
        with span("losses"):
            probs = logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(1)
            return 1 - soft_dice(probs.float(), masks).mean(), {}

    def after_epoch(self, epoch: int) -> None:
        if epoch not in self.config.snapshots:
            return
        for split, bank in self.banks.items():
            if bank.snapshots == sorted(self.config.snapshots).index(epoch):  # else a cut run has written it already
                bank.add(predict(self.model, self.stores[split].images))
                if world()[0] == 0:
                    bank.save(self._path(split))

    def validate(self) -> dict[str, float]:
        val = self.stores["val"]
        return {"val_dice": mean_dice(self.model, val.images, val.truth, self.model.num_classes)}

    def save(self, path: Path) -> None:
        self.model.save(path)

    def _path(self, split: str) -> Path:
        return self.folder / f"bank-{split}.safetensors"

    def _bank(self, split: str) -> MaskBank:
        path = self._path(split)
        store = self.stores[split]
        return MaskBank.load(path) if path.exists() else MaskBank(store.truth, store.num_classes)
