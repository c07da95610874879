"""Against reward hacking: does true Dice follow the quality that the regulariser raises?"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn

from ..data import DeviceStore
from ..networks.outputs import hard_labels, probabilities
from ..ops.overlap import dice
from ..ops.pixels import in_unit
from ..quality.predictor import QualityPredictor
from .ranks import gather, own

CUT = 0.1
MOST_CUTS = 3


class Guard(nn.Module):
    """Compares predicted quality with true Dice on labelled validation images; where they part, undoes and cuts lambda.

    What is predicted is what the regulariser raises: the raw score of the student's soft masks; true is the Dice of its
    hard masks. Their gap when lambda was 0 last is the predictor's own bias. Where it has since grown by more than
    `margin`, the networks go back to what they were when it last had not, and `scale`, by which lambda is multiplied,
    falls to a tenth; the third time to 0, and then for good.
    """

    def __init__(self, predictor: QualityPredictor, margin: float) -> None:
        super().__init__()
        self.margin, self.base, self.cuts = margin, math.nan, 0
        self._predictor = [predictor]  # in a list: a checkpoint of the guard does not hold the predictor,
        self._networks: dict[str, nn.Module] = {}  # nor the networks twice,
        self.copies = nn.ModuleDict()  # but what they would go back to
        self.said: list[str] = []

    @property
    def scale(self) -> float:
        return CUT**self.cuts if self.cuts < MOST_CUTS else 0.0

    def watch(self, **networks: nn.Module) -> None:
        """These go back together."""
        self._networks = networks
        self.copies = nn.ModuleDict({name: copy.deepcopy(one).requires_grad_(False) for name, one in networks.items()})

    def get_extra_state(self) -> Tensor:
        return torch.tensor([self.base, self.cuts], dtype=torch.float64)

    def set_extra_state(self, state: Tensor) -> None:
        self.base, self.cuts = float(state[0]), int(state[1])

    @torch.no_grad()
    def look(self, student: nn.Module, store: DeviceStore, active: bool) -> dict[str, float]:
        """Measure, and act where it is time; `active`: whether lambda's schedule is above 0. Figures for the log."""
        predictor, found = self._predictor[0].eval(), []
        device, mine = next(student.parameters()).device, own(len(store))
        for images, masks in zip(store.images[mine].split(64), store.truth[mine].split(64)):
            images, masks = in_unit(images.to(device)), masks.to(device)
            logits = student(images)
            predicted = predictor(images, probabilities(logits), calibrated=False)
            true = dice(hard_labels(logits), masks, predictor.num_classes)
            found.append(torch.stack([each.reshape(len(images), -1).mean(1) for each in (predicted, true)], 1))
        quality, truth = gather(torch.cat(found), len(store)).mean(0).tolist()  # sync
        return self.compare(quality, truth, active)

    def compare(self, quality: float, truth: float, active: bool) -> dict[str, float]:
        """The rule itself, on mean predicted quality and mean true Dice."""
        if not active or math.isnan(self.base):
            self.base = quality - truth
        grown = quality - truth - self.base
        parted = grown > self.margin and self.cuts < MOST_CUTS
        for name, network in self._networks.items():
            source, target = (self.copies[name], network) if parted else (network, self.copies[name])
            target.load_state_dict(source.state_dict())
        if parted:
            self.cuts += 1
            self.said.append(
                f"predicted quality {quality:.3f} has risen over true Dice {truth:.3f} by {grown:.3f} (more than "
                f"{self.margin:g}): back to the weights before, lambda of the regulariser is cut to {self.scale:g} of "
                "its schedule"
            )
        return {"val_student_quality": quality, "val_student_dice": truth, "guard": self.scale}
