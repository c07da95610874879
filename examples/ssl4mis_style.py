"""Quality guidance in a script in the style of SSL4MIS: HDF5 slices (image, label), softmax outputs of several classes,
labelled and unlabelled slices in one batch, an `ema_model`; three lines are added.

`python examples/ssl4mis_style.py SLICES quality.safetensors`, SLICES a folder of .h5 files. Without arguments slices
are made up and an untrained predictor stands in, so that the loop can be seen to run. Needs h5py.
"""

import copy
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np
import torch
from monai.networks.nets import BasicUNet
from torch.nn import functional as F

from qgssl_fast.ops.losses import ce_dice, consistency
from qgssl_fast.quality import QualityGuide, QualityPredictor

CLASSES, LABELED_BS, BATCH_SIZE, DECAY, CONSISTENCY, REGULARIZATION = 4, 2, 6, 0.99, 0.1, 0.01


def make_up(folder: Path, count: int = 12, side: int = 32) -> None:
    rng, grid = np.random.default_rng(0), np.mgrid[:32, :32]
    for k in range(count):
        label = np.zeros((side, side), np.uint8)
        for c in range(1, CLASSES):
            label[((grid - rng.integers(6, 26, (2, 1, 1))) ** 2).sum(0) < 20] = c
        with h5py.File(folder / f"slice_{k:02d}.h5", "w") as file:
            file["image"] = (label / 4 + 0.25 * rng.random((side, side))).astype(np.float32)
            file["label"] = label


def train(folder: Path, predictor: QualityPredictor, iterations: int = 20) -> list[float]:
    torch.manual_seed(0)
    files = [h5py.File(path, "r") for path in sorted(folder.glob("*.h5"))]
    images = torch.stack([torch.from_numpy(file["image"][:]).unsqueeze(0) for file in files])
    labels = torch.stack([torch.from_numpy(file["label"][:].astype(np.int64)) for file in files])
    unlabeled = torch.arange(4, len(images))  # the first four are labelled
    model = BasicUNet(spatial_dims=2, in_channels=1, out_channels=CLASSES, features=(8, 8, 16, 16, 32, 8))
    ema_model = copy.deepcopy(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    guide = QualityGuide(predictor, threshold=0.5, temperature=2.0, classes="minimum")
    history = []
    for _ in range(iterations):
        at = torch.randperm(4)[:LABELED_BS]
        rest = unlabeled[torch.randperm(len(unlabeled))[: BATCH_SIZE - LABELED_BS]]
        volume_batch, unlabeled_batch = images[torch.cat([at, rest])], images[rest]
        outputs = model(volume_batch)
        outputs_soft = torch.softmax(outputs, dim=1)
        with torch.no_grad():
            noise = torch.clamp(torch.randn_like(unlabeled_batch) * 0.1, -0.2, 0.2)
            ema_output_soft = torch.softmax(ema_model(unlabeled_batch + noise), dim=1)
        loss = ce_dice(outputs[:LABELED_BS], labels[at]).mean()

        w = guide.weights(unlabeled_batch, ema_output_soft)  # line 1: softmax as it is; the background is dropped
        loss = loss + CONSISTENCY * consistency(outputs[LABELED_BS:], ema_output_soft, w, kind="mse")  # line 2
        loss = loss + REGULARIZATION * guide.regularization(unlabeled_batch, outputs_soft[LABELED_BS:])  # line 3

        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        for ema_param, param in zip(ema_model.parameters(), model.parameters()):
            ema_param.data.mul_(DECAY).add_(param.data, alpha=1 - DECAY)
        history.append(float(F.cross_entropy(outputs[:LABELED_BS], labels[at])))
    return history


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        make_up(Path(made))
        small = QualityPredictor("small", 2, 1, CLASSES, options={"features": [8, 16]})
        given = len(sys.argv) > 2
        losses = train(
            Path(sys.argv[1]) if given else Path(made), QualityPredictor.load(sys.argv[2]) if given else small
        )
        print(f"loss {losses[0]:.3f} -> {losses[-1]:.3f}")
