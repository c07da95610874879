"""A run with cross-fitted weak models, dense head, soft masks, calibration and gate."""

import json

import pytest
import torch

from qgssl_fast.cli.main import main
from qgssl_fast.corruption import MaskBank
from qgssl_fast.quality import QualityPredictor


def test_everything_beyond_the_paper(guided_run, metrics):
    found = metrics(guided_run)
    assert list(found["segmenter"]) == ["pseudo_label+correction", "pseudo_label+quality_map", "cps+quality"]
    for label, guide in (("pseudo_label+correction", "correction"), ("cps+quality", "quality")):
        shown = found["segmenter"][label]["gate"][guide]
        assert 0 <= shown["strength"] <= 1
    predictor = QualityPredictor.load(guided_run / "quality" / "best.safetensors")
    assert predictor.decoder is not None
    assert (predictor.calibration.diff(dim=1) >= 0).all()
    assert not torch.equal(predictor.calibration, torch.linspace(0, 1, 33)[None])
    bank = MaskBank.load(guided_run / "weak" / "bank-val.safetensors")
    assert bank.snapshots == 2 * 2
    assert MaskBank.load(guided_run / "weak" / "bank-train.safetensors").snapshots == 2
    rows = [json.loads(line) for line in (guided_run / "log.jsonl").read_text().splitlines()]
    assert {"weak/fold-0", "weak/fold-1"} <= {row["stage"] for row in rows}
    assert all("dense" in row for row in rows if row["stage"] == "quality")
    assert any("pixels_changed" in row for row in rows)


def test_cross_fitted_masks_are_by_models_that_held_the_image_out(guided_run):
    """Each training image's mask is that of its fold's model, which can be run again."""
    import qgssl_fast as qf
    from qgssl_fast.training.crossfit import fold_indices
    from qgssl_fast.training.inference import predict

    dataset = qf.read_dataset(guided_run / "phantoms")
    store = qf.DeviceStore.from_cases(dataset.splits["train"], (32, 32), 3)
    joined = MaskBank.load(guided_run / "weak" / "bank-train.safetensors")
    parts = fold_indices(range(len(store)), 2, 0)
    assert sorted(i for part in parts for i in part) == list(range(len(store)))
    for k, part in enumerate(parts):
        model = qf.Segmenter.load(guided_run / "weak" / f"fold-{k}" / "last.safetensors")
        assert torch.equal(joined.weak(1)[part], predict(model, store.images[part]))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--weak.folds", "7"], "weak.folds: wanted 2 to 6 (the labelled images, or their groups)"),
        (["--quality.soft", "1.5"], "quality.soft: wanted 0 to 1, got 1.5"),
        (["--segmenter.unlabelled_batch", "13"], "SUP+, take 13 unlabelled images"),
        (["--segmenter.ema", "0"], "pseudo_label needs a teacher"),
        (["--method", "pseudo_label", "--guide", "correction"], "guide correction needs a predictor with a dense head"),
        (
            ["--method", "mean_teacher", "--guide", "correction", "--quality.dense", "4"],
            "mean_teacher has soft targets",
        ),
        (["--method", "supervised", "--guide", "quality"], "supervised has no unlabelled loss"),
    ],
)
def test_refused_before_training(capsys, tmp_path, tiny_config, words, told):
    out = tmp_path / "out"
    assert main(["train", "--config", str(tiny_config), "--out", str(out), *words]) == 2
    said = capsys.readouterr().err
    assert told.replace("SUP+, ", "") in said
    assert not (out / "quality").exists()


def test_images_of_a_patient_are_cross_fitted_together(dataset, capsys, tmp_path, tiny_config):
    root = dataset(train=6)
    lines = (root / "train.csv").read_text().splitlines()
    patients = ["patient", "p", "q", "p", "r", "q", "r"]
    (root / "train.csv").write_text("\n".join(f"{line},{patient}" for line, patient in zip(lines, patients)) + "\n")
    words = ["train", "--config", str(tiny_config), "--data", str(root), "--out", str(tmp_path / "out")]
    assert main([*words, "--weak.folds", "4"]) == 2
    assert "weak.folds: wanted 2 to 3 (the labelled images, or their groups)" in capsys.readouterr().err


def test_a_predictor_of_before_is_taken_or_refused(guided_run, tiny_config, tmp_path, capsys, metrics):
    file = guided_run / "quality" / "best.safetensors"
    words = ["train", "--config", str(tiny_config), "--quality.file", str(file), "--method", "PL-QW"]
    assert main([*words, "--out", str(tmp_path / "same")]) == 0
    taken = QualityPredictor.load(tmp_path / "same" / "quality" / "best.safetensors")
    given = QualityPredictor.load(file)
    assert all(torch.equal(a, b) for a, b in zip(taken.state_dict().values(), given.state_dict().values()))
    assert -1 <= metrics(tmp_path / "same")["quality"]["uncertainty"]["spearman_with_error"] <= 1
    other = QualityPredictor("small", 3, 3, 4, options={"features": [2]}).save(tmp_path / "other.safetensors")
    words[words.index(str(file))] = str(other)
    assert main([*words, "--out", str(tmp_path / "no")]) == 2
    said = capsys.readouterr().err
    assert "other.safetensors" in said
    assert "was trained for 4 classes, wanted 2" in said
    assert "was trained for 3 spatial dimensions, wanted 2" in said
    assert not (tmp_path / "no").exists()
