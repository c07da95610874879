"""Quality guidance in a MONAI loop: dictionary transforms, a MONAI network and DiceCELoss stay; three lines are added.

Run with a predictor trained before: `python examples/monai_loop.py quality.safetensors`; without one an untrained
predictor stands in, so that the loop can be seen to run. Images and masks are made up.
"""

from __future__ import annotations

import copy
import sys

import torch
from monai.data import DataLoader, Dataset
from monai.losses import DiceCELoss
from monai.networks.nets import UNet
from monai.transforms import Compose, EnsureTyped, RandFlipd, RandGaussianNoised

from qgssl_fast.ops.losses import consistency
from qgssl_fast.quality import QualityGuide, QualityPredictor

LAMBDA, LAMBDA_REGULARIZATION, DECAY = 0.25, 0.01, 0.99


def made_up(count: int, seed: int, labelled: bool) -> list[dict[str, torch.Tensor]]:
    g = torch.Generator().manual_seed(seed)
    grid = torch.stack(torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij"))
    cases = []
    for _ in range(count):
        mask = ((grid - torch.randint(8, 24, (2, 1, 1), generator=g)) ** 2).sum(0, keepdim=True) < 36
        image = 0.5 * torch.rand(3, 32, 32, generator=g) + 0.4 * mask
        cases.append({"image": image} | ({"label": mask.float()} if labelled else {}))
    return cases


def train(predictor: QualityPredictor, epochs: int = 4) -> list[float]:
    torch.manual_seed(0)
    flips = Compose([EnsureTyped(["image", "label"]), RandFlipd(["image", "label"], prob=0.5, spatial_axis=1)])
    labelled = DataLoader(Dataset(made_up(16, 0, True), flips), batch_size=4, shuffle=True)
    unlabelled = DataLoader(Dataset(made_up(16, 1, False), EnsureTyped("image")), batch_size=4, shuffle=True)
    noise = RandGaussianNoised("image", prob=1.0, std=0.05)
    student = UNet(spatial_dims=2, in_channels=3, out_channels=1, channels=(8, 16, 32), strides=(2, 2))
    teacher = copy.deepcopy(student).eval()
    optimizer, supervised = torch.optim.AdamW(student.parameters(), 3e-3), DiceCELoss(sigmoid=True)
    guide = QualityGuide(predictor, threshold=0.5, temperature=2.0)
    history = []
    for _ in range(epochs):
        for batch, pool in zip(labelled, unlabelled):
            images = pool["image"].as_tensor()
            with torch.no_grad():
                pseudo_masks = (teacher(images) > 0).to(torch.uint8)
            logits = student(torch.as_tensor(noise({"image": images})["image"]).clamp(0, 1))

            w = guide.weights(images, pseudo_masks)  # line 1: what each pseudo-mask is worth
            loss = LAMBDA * consistency(logits, pseudo_masks, w, kind="bce_dice")  # line 2: PL-QW
            loss = loss + LAMBDA_REGULARIZATION * guide.regularization(images, logits.sigmoid())  # line 3: QAR

            loss = loss + supervised(student(batch["image"].as_tensor()), batch["label"].as_tensor())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                for mine, other in zip(teacher.parameters(), student.parameters()):
                    mine.lerp_(other, 1 - DECAY)
            history.append(loss.item())  # sync
    return history


if __name__ == "__main__":
    small = QualityPredictor("small", options={"features": [8, 16, 32]})
    losses = train(QualityPredictor.load(sys.argv[1]) if len(sys.argv) > 1 else small)
    print(f"loss {losses[0]:.3f} -> {losses[-1]:.3f}")
