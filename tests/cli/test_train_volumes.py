"""Training on volumes of two classes, as 3D patches and as slices, from the command line to NIfTI predictions."""

import csv
import json

import nibabel
import numpy as np
import pytest

from qgssl_fast.cli.main import main

LABELS = {"0": "background", "3": "front", "5": "back"}


@pytest.fixture
def volumes(tmp_path):
    """Decathlon layout: 8 labelled volumes of 20 x 18 x 16 voxels, 2 of them for validation and 2 for the test."""
    root, rng = tmp_path / "a set", np.random.default_rng(0)
    for folder in ("imagesTr", "labelsTr"):
        (root / folder).mkdir(parents=True)
    affine = np.diag([-1.0, 2.0, 1.5, 1.0])
    for i in range(10):
        labels = np.zeros((20, 18, 16), np.uint8)
        x, y, z = rng.integers(3, 7, 3)
        labels[x : x + 8, y : y + 6, z : z + 3] = 3
        labels[x : x + 8, y : y + 6, z + 3 : z + 6] = 5
        image = rng.normal(50, 5, labels.shape) + 40 * (labels == 3) + 80 * (labels == 5)
        nibabel.save(nibabel.Nifti1Image(image.astype(np.float32), affine), root / f"imagesTr/v{i}.nii.gz")
        nibabel.save(nibabel.Nifti1Image(labels, affine), root / f"labelsTr/v{i}.nii.gz")
    rows = [{"image": f"imagesTr/v{i}.nii.gz", "label": f"labelsTr/v{i}.nii.gz"} for i in range(10)]
    (root / "dataset.json").write_text(json.dumps({"labels": LABELS, "training": rows}))
    names = [f"v{i}" for i in range(10)]
    splits = {"labeled": names[:2], "unlabeled": names[2:6], "train": names[:6], "val": names[6:8], "test": names[8:]}
    (root / "splits.json").write_text(json.dumps(splits))
    return root


@pytest.mark.parametrize("size", [[32, 32, 32], [16, 16, 16], [32, 32]], ids=["padded", "patches", "slices"])
def test_volumes(volumes, tiny_config, tmp_path, metrics, size):
    out = tmp_path / "out"
    words = ["train", "--data", str(volumes), "--config", str(tiny_config), "--out", str(out), "--preset", "cpu"]
    words += [
        "--images.size",
        str(size),
        "--methods",
        "[PL-QW, QAR]",
        "--weak.options",
        "{channels: [4, 8], strides: [2]}",
    ]
    words += ["--quality.options", "{features: [4, 8, 16]}", "--quality.batch", "4"]
    assert main([*words, "--segmenter.options", "{channels: [4, 8], strides: [2]}"]) == 0
    found = metrics(out)
    best = found["segmenter"]["PL-QW"]["best"]
    assert best["n"] == 2
    assert len(best["dice_per_class"]) == 2
    with (out / "segmenter" / "QAR" / "test_scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["v8", "v9"]
    for row in rows:
        made = nibabel.load(out / "segmenter" / "QAR" / "predictions" / f"{row['name']}.nii.gz")
        source = nibabel.load(volumes / "imagesTr" / f"{row['name']}.nii.gz")
        true = np.asarray(nibabel.load(volumes / "labelsTr" / f"{row['name']}.nii.gz").dataobj)
        got = np.asarray(made.dataobj)
        assert np.array_equal(made.affine, source.affine)
        assert set(np.unique(got)) <= {0, 3, 5}
        for column, value in (("dice_1", 3), ("dice_2", 5)):
            total = (got == value).sum() + (true == value).sum()
            assert float(row[column]) == pytest.approx(2 * ((got == value) & (true == value)).sum() / total, abs=1e-5)
    splits = json.loads((out / "splits.json").read_text())
    assert [row["name"] for row in splits["unlabeled"]] == ["v2", "v3", "v4", "v5"]
    assert "mask" not in splits["unlabeled"][0]
    assert "overlays-PL-QW" in "".join(path.name for path in (out / "figures").iterdir())


def test_the_preset_has_settings_for_volumes(volumes):
    from qgssl_fast.data import looks_volumetric
    from qgssl_fast.training.settings import load_preset

    assert looks_volumetric(volumes)
    assert load_preset("cpu", volumes=True)["images.size"] == [48, 64, 48]
    assert load_preset("cpu")["images.size"] == [96, 96]
    assert load_preset("paper", volumes=True) == load_preset("paper")
