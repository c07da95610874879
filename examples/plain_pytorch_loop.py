"""Quality guidance in a plain PyTorch loop: `lines 1 to 3` are all that is added to a teacher-student training.

Run with a predictor trained before: `python examples/plain_pytorch_loop.py quality.safetensors`; without one an
untrained predictor stands in, so that the loop can be seen to run. Images and masks are made up.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from qgssl_fast.ops.losses import bce_dice, consistency
from qgssl_fast.quality import QualityGuide, QualityPredictor

LAMBDA, LAMBDA_REGULARIZATION, DECAY = 0.25, 0.01, 0.99


def made_up_batches(steps: int, size: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Labelled images, their masks [B, H, W], unlabelled images; a bright disc on noise."""
    grid = torch.stack(torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij"))
    for step in range(steps):
        g = torch.Generator().manual_seed(step)
        centre = torch.randint(size // 4, 3 * size // 4, (8, 2, 1, 1), generator=g)
        masks = ((grid - centre) ** 2).sum(1) < (size // 5) ** 2
        images = 0.5 * torch.rand(8, 3, size, size, generator=g) + 0.4 * masks.unsqueeze(1)
        yield images[:4], masks[:4].to(torch.uint8), images[4:]


def train(student: nn.Module, predictor: QualityPredictor, steps: int = 20, size: int = 32) -> list[float]:
    """Train `student` (images -> logits [B, 1, H, W]); returns the loss of each step."""
    teacher = copy.deepcopy(student).eval().requires_grad_(False)
    optimizer = torch.optim.AdamW(student.parameters(), 1e-3)
    guide = QualityGuide(predictor, threshold=0.5, temperature=2.0)
    history = []
    for images, masks, unlabelled in made_up_batches(steps, size):
        with torch.no_grad():
            pseudo_masks = (teacher(unlabelled) > 0).to(torch.uint8)
        noisy = (unlabelled + 0.05 * torch.randn_like(unlabelled)).clamp(0, 1)
        logits = student(noisy)

        w = guide.weights(unlabelled, pseudo_masks)  # line 1: what each pseudo-mask is worth
        loss = LAMBDA * consistency(logits, pseudo_masks, w, kind="bce_dice")  # line 2: PL-QW
        loss = loss + LAMBDA_REGULARIZATION * guide.regularization(unlabelled, logits.sigmoid())  # line 3: QAR

        loss = loss + bce_dice(student(images), masks).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for mine, other in zip(teacher.parameters(), student.parameters()):
                mine.lerp_(other, 1 - DECAY)
        history.append(loss.item())  # sync
    return history


def main() -> None:
    torch.manual_seed(0)
    if len(sys.argv) > 1:
        predictor = QualityPredictor.load(sys.argv[1])
    else:
        predictor = QualityPredictor("small", options={"features": [8, 16, 32]})
    student = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 1, 1)
    )
    history = train(student, predictor)
    print(f"loss {history[0]:.3f} -> {history[-1]:.3f}")


if __name__ == "__main__":
    main()
