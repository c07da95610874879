import json

import numpy as np
import pytest
from PIL import Image

from qgssl_fast.cli.main import main

# Small enough that a whole run takes seconds.
TINY = """
images: {size: [32, 32]}
phantoms: {train: 6, val: 4, test: 6, unlabeled: 12}
weak: {epochs: 2, steps_per_epoch: 2, batch: 4, snapshots: [1, 2], options: {channels: [4, 8, 16], strides: [2, 2]}}
quality: {epochs: 2, steps_per_epoch: 3, batch: 16}
segmenter:
  epochs: 4
  steps_per_epoch: 2
  labelled_batch: 4
  unlabelled_batch: 4
  options: {channels: [4, 8, 16], strides: [2, 2]}
  method_lambda: {start: 1, ramp: 1, maximum: 0.5}
  regularizer_lambda: {start: 1, ramp: 1, maximum: 0.1}
"""


@pytest.fixture(scope="session")
def tiny_config(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory, tiny_config):
    """A finished run on phantoms, for tests that only look."""
    out = tmp_path_factory.mktemp("run") / "a"
    assert main(["train", "--config", str(tiny_config), "--out", str(out)]) == 0
    return out


@pytest.fixture
def metrics():
    return lambda out: json.loads((out / "metrics.json").read_text())


@pytest.fixture
def dataset(tmp_path):
    """Writes a little data set: ``dataset(size=(40, 30), grey=True, values=(0, 1))`` gives its folder."""

    def write(name="set", size=(40, 30), grey=False, values=(0, 255), train=5, val=3, test=3, unlabeled=4):
        root, rng = tmp_path / name, np.random.default_rng(0)
        (root / "images").mkdir(parents=True)
        (root / "masks").mkdir()
        number = 0
        for split, count in (("train", train), ("val", val), ("test", test), ("unlabeled", unlabeled)):
            rows = ["image_path,mask_path" if split != "unlabeled" else "image_path"]
            for _ in range(count):
                y, x = np.mgrid[: size[0], : size[1]]
                disc = (y - size[0] * rng.uniform(0.4, 0.6)) ** 2 + (x - size[1] * rng.uniform(0.4, 0.6)) ** 2 < 49
                image = rng.integers(0, 80, (*size, 3)) + 120 * disc[..., None]
                image = image[..., 0] if grey else image
                Image.fromarray(image.astype(np.uint8)).save(root / "images" / f"{number}.png")
                row = f"images/{number}.png"
                if split != "unlabeled":
                    mask = np.where(disc, values[1], values[0]).astype(np.uint8)
                    Image.fromarray(mask).save(root / "masks" / f"{number}.png")
                    row += f",masks/{number}.png"
                rows.append(row)
                number += 1
            (root / f"{split}.csv").write_text("\n".join(rows) + "\n")
        return root

    return write


@pytest.fixture(scope="session")
def guided_run(tmp_path_factory, tiny_config):
    """A finished run with everything that the published settings leave off."""
    out = tmp_path_factory.mktemp("guided") / "a"
    words = ["train", "--config", str(tiny_config), "--out", str(out), "--weak.folds", "2", "--quality.dense", "4"]
    words += ["--quality.soft", "0.3", "--quality.calibrate", "true", "--segmenter.gate", "true"]
    assert main([*words, "--methods", "[pseudo_label+correction, pseudo_label+quality_map, cps+quality]"]) == 0
    return out
