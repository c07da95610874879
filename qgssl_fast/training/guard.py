"""Against reward hacking: does true Dice follow the quality that the regulariser raises?"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..data import DeviceStore
from ..networks.outputs import hard_labels, probabilities
from ..ops.overlap import dice
from ..ops.pixels import in_unit
from ..quality.predictor import QualityPredictor

CUT = 0.5


class Guard(nn.Module):
    """Compares predicted quality with true Dice on labelled validation images and cuts lambda where they part.

    What is predicted is what the regulariser raises: the raw score of the student's soft masks; true is the Dice of its
    hard masks. Their gap when lambda was 0 last is the predictor's own bias; where it has since grown by more than
    `margin`, `scale`, by which lambda is multiplied, is halved, at every validation anew.
    """

    def __init__(self, predictor: QualityPredictor, margin: float) -> None:
        super().__init__()
        self.margin, self.scale, self.base = margin, 1.0, math.nan
        self._predictor = [predictor]  # in a list: a checkpoint of the guard does not hold the predictor
        self.said: list[str] = []

    def get_extra_state(self) -> Tensor:
        return torch.tensor([self.scale, self.base], dtype=torch.float64)

    def set_extra_state(self, state: Tensor) -> None:
        self.scale, self.base = state.tolist()

    @torch.no_grad()
    def look(self, student: nn.Module, store: DeviceStore, active: bool) -> dict[str, float]:
        """Measure, and cut where it is time; `active`: whether lambda is above 0. Figures for the log."""
        predictor, true, predicted = self._predictor[0].eval(), [], []
        for images, masks in zip(store.images.split(64), store.truth.split(64)):
            images = in_unit(images)
            logits = student(images)
            predicted.append(predictor(images, probabilities(logits), calibrated=False).flatten())
            true.append(dice(hard_labels(logits), masks, predictor.num_classes).flatten())
        quality, truth = float(torch.cat(predicted).mean()), float(torch.cat(true).mean())  # sync
        return self.compare(quality, truth, active)

    def compare(self, quality: float, truth: float, active: bool) -> dict[str, float]:
        """The rule itself, on mean predicted quality and mean true Dice."""
        gap = quality - truth
        if not active or math.isnan(self.base):
            self.base = gap
        elif gap - self.base > self.margin:
            self.scale *= CUT
            self.said.append(
                f"predicted quality {quality:.3f} has risen over true Dice {truth:.3f} by {gap - self.base:.3f} "
                f"(more than {self.margin:g}): lambda of the regulariser is cut to {self.scale:g} of its schedule"
            )
        return {"val_student_quality": quality, "val_student_dice": truth, "guard": self.scale}
