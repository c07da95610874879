"""Quality guidance in an nnU-Net v2 trainer: three lines in `train_step`; planning, data, augmentation stay as are.

Copy this file into nnunetv2/training/nnUNetTrainer and train with `nnUNetv2_train ... -tr nnUNetTrainerQualityGuided`.
Unlabelled cases are part of the data set, with any label file, and are named in a text file. Set
QGSSL_PREDICTOR (quality.safetensors, trained on images of intensity zscore) and QGSSL_UNLABELLED (the text file).
"""

from __future__ import annotations

import copy
import os
from pathlib import Path

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from qgssl_fast.ops.losses import consistency
from qgssl_fast.quality import QualityGuide, QualityPredictor

LAMBDA, LAMBDA_REGULARIZATION, DECAY = 0.25, 0.01, 0.999


def to_unit(data: torch.Tensor) -> torch.Tensor:
    """nnU-Net's images have mean 0 and deviation 1; the predictor wants [0, 1]: 4 deviations to either side."""
    return ((data.float() + 4) / 8).clamp(0, 1)


class nnUNetTrainerQualityGuided(nnUNetTrainer):
    def on_train_start(self):  # after a checkpoint or pretrained weights were loaded: the teacher begins with them
        super().on_train_start()
        network = getattr(self.network, "module", self.network)  # without DDP's and torch.compile's wrappers
        self.teacher = copy.deepcopy(getattr(network, "_orig_mod", network)).eval().requires_grad_(False)
        predictor = QualityPredictor.load(os.environ["QGSSL_PREDICTOR"]).to(self.device)
        self.guide = QualityGuide(predictor, threshold=0.5, temperature=2.0)
        self.unlabelled = set(Path(os.environ["QGSSL_UNLABELLED"]).read_text().split())

    def train_step(self, batch: dict) -> dict:
        data = batch["data"].to(self.device, non_blocking=True)
        target = batch["target"] if isinstance(batch["target"], list) else [batch["target"]]
        pool = torch.tensor([key in self.unlabelled for key in batch["keys"]], device=self.device)
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, enabled=self.device.type == "cuda"):
            output = self.network(data)
            levels = output if isinstance(output, (list, tuple)) else [output]  # deep supervision: finest first
            loss = sum(level.sum() for level in levels) * 0
            if not pool.all():
                known = [level[~pool] for level in levels], [t.to(self.device)[~pool] for t in target]
                loss = loss + (self.loss(*known) if len(levels) > 1 else self.loss(known[0][0], known[1][0]))
            if pool.any():
                with torch.no_grad():
                    taught = self.teacher(data[pool])
                    pseudo = (taught[0] if isinstance(taught, (list, tuple)) else taught).argmax(1).to(torch.uint8)
                images, logits = to_unit(data[pool]), levels[0][pool]

                w = self.guide.weights(images, pseudo)  # line 1: what each pseudo-mask is worth
                loss = loss + LAMBDA * consistency(logits, pseudo, w, kind="ce_dice")  # line 2: PL-QW
                probs = logits.float().softmax(1)
                loss = loss + LAMBDA_REGULARIZATION * self.guide.regularization(images, probs)  # line 3: QAR

        scaler = self.grad_scaler
        (loss if scaler is None else scaler.scale(loss)).backward()
        if scaler is not None:
            scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 12)
        self.optimizer.step() if scaler is None else scaler.step(self.optimizer)
        if scaler is not None:
            scaler.update()
        with torch.no_grad():
            for mine, other in zip(self.teacher.parameters(), self.network.parameters()):
                mine.lerp_(other, 1 - DECAY)
        return {"loss": loss.detach().cpu().numpy()}
