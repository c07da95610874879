"""The whole method by the command line, small; and what a person is told when the input is wrong."""

import csv
import json
import re
import shutil
import signal

import pytest
import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file

from qgssl_fast import files
from qgssl_fast.cli.main import main


def test_a_run_folder_is_whole(tiny_run, metrics):
    found = metrics(tiny_run)
    assert list(found["segmenter"]) == ["SUP", "PL-QW", "QAR"]
    for label, values in found["segmenter"].items():
        assert 0 <= values["best"]["dice"] <= 1
        for name in ("best.safetensors", "last.safetensors", "metrics.json", "test_scores.csv"):
            assert (tiny_run / "segmenter" / label / name).exists()
    assert found["quality"]["all"]["n"] == 6 * 5
    assert {"corrupted", "weak", "image_blacked_out", "image_shuffled", "segmenter"} <= set(found["quality"])
    assert found["data"]["unlabeled"] == 12
    rows = [json.loads(line) for line in (tiny_run / "log.jsonl").read_text().splitlines()]
    assert {row["stage"] for row in rows} == {"weak", "quality", "segmenter/SUP", "segmenter/PL-QW", "segmenter/QAR"}
    assert any(row.get("lambda_method", 0) > 0 for row in rows if row["stage"] == "segmenter/PL-QW")
    assert not any("lambda_method" in row for row in rows if row["stage"] == "segmenter/SUP")
    report = (tiny_run / "report.html").read_text()
    assert report.count("data:image/png;base64") >= 6
    assert list((tiny_run / "tensorboard").iterdir())
    assert not list(tiny_run.rglob("checkpoint*"))
    assert not [p for p in tiny_run.rglob(".*") if p.name != ".lock"]


def test_scores_are_those_of_the_saved_network(tiny_run, metrics):
    """The figures can be made again from the run folder alone."""
    import qgssl_fast as qf
    from qgssl_fast.training.inference import predict

    dataset = qf.read_dataset(tiny_run / "phantoms")
    store = qf.DeviceStore.from_cases(dataset.splits["test"], (32, 32), 3)
    model = qf.Segmenter.load(tiny_run / "segmenter" / "SUP" / "best.safetensors")
    dice = qf.dice(predict(model, store.images), store.masks)
    with (tiny_run / "segmenter" / "SUP" / "test_scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == store.names
    assert [float(row["dice"]) for row in rows] == pytest.approx(dice.tolist(), abs=1e-6)
    assert metrics(tiny_run)["segmenter"]["SUP"]["best"]["dice"] == pytest.approx(dice.mean().item(), abs=1e-6)


def test_done_stages_are_skipped_and_a_cut_one_goes_on_to_the_same_weights(tiny_run, tmp_path, capsys, monkeypatch):
    """Ctrl-C in some steps: each is finished and saved, the rest gives the same bytes as the run that was not cut."""
    from qgssl_fast.training.engine import Engine

    out = tmp_path / "cut"
    config = yaml.safe_load((tiny_run / "config.yaml").read_text()) | {"out": str(out)}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    take_step, calls = Engine.take_step, []

    def interrupted(self, step):
        calls.append(step)
        if len(calls) in (2, 6, 17):
            signal.raise_signal(signal.SIGINT)
        return take_step(self, step)

    monkeypatch.setattr(Engine, "take_step", interrupted)
    codes = [main(["train", "--config", str(tmp_path / "c.yaml")])]
    codes += [main(["train", "--out", str(out)]) for _ in range(3)]
    assert codes == [130, 130, 130, 0]
    said = capsys.readouterr().out
    assert f"go on with: qgssl-fast train --out {out}" in said
    assert "weak: goes on after step 2 of 4" in said
    assert "quality: goes on after step 2 of 6" in said
    assert "weak: done before, skipped" in said
    for file in ("quality/best", "segmenter/PL-QW/last", "segmenter/QAR/best"):
        ours, theirs = (load_file(folder / f"{file}.safetensors") for folder in (out, tiny_run))
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    logs = [[json.loads(x) for x in (f / "log.jsonl").read_text().splitlines()] for f in (out, tiny_run)]
    assert logs[0] == logs[1]


@pytest.mark.parametrize(("grey", "values", "size"), [(True, (0, 1), (40, 30)), (False, (17, 200), (33, 65))])
def test_other_sets(dataset, tiny_config, tmp_path, metrics, grey, values, size):
    root, out = dataset(grey=grey, values=values, size=size), tmp_path / "out"
    words = ["train", "--data", str(root), "--config", str(tiny_config), "--out", str(out), "--method", "PL-QW"]
    assert main(words) == 0
    assert list(metrics(out)["segmenter"]) == ["PL-QW"]


def fail(capsys, *words):
    assert main(["train", *map(str, words)]) == 2
    text = capsys.readouterr().err
    assert "Traceback" not in text
    assert text.startswith("qgssl-fast: ")
    return text


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--data", "nowhere"], "nowhere: no such folder"),
        (["--preset", "papre"], "got 'papre' (did you mean paper?)"),
        (["--sgmenter.epochs", "3"], "unknown option --sgmenter.epochs (did you mean --segmenter.epochs?)"),
        (["--segmenter.epochs", "three"], "segmenter.epochs"),
        (["--segmenter.epochs", "0"], "segmenter.epochs: wanted more than 0, got 0"),
        (["--method", "PL-WQ"], "PL-WQ"),
        (["--guide", "quality"], "--guide quality needs --method"),
        (["--method", "pseudo_label", "--guide", "qualty"], "qualty"),
        (["--segmenter.network", "BasicUNt"], "BasicUNet"),
        (["--quality.recipe", "nowhere.toml"], "nowhere.toml"),
        (["--quality.backbone", "resnet"], "resnet18"),
        (["--device", "tpu"], "device: wanted auto, cpu, cuda or cuda:N, got 'tpu'"),
        (["extra"], "unexpected argument extra"),
    ],
)
def test_wrong_options(capsys, tmp_path, tiny_config, words, told):
    out = tmp_path / "out"
    assert told in fail(capsys, "--config", tiny_config, "--out", out / "run", *words)
    assert not out.exists(), "what was refused leaves nothing behind"


def test_another_network_starts_without_the_presets_options(dataset, tmp_path, capsys, metrics):
    out = tmp_path / "out"
    words = ["train", "--preset", "phantoms", "--data", str(dataset()), "--out", str(out), "--method", "SUP"]
    words += ["--segmenter.network", "SegResNet", "--segmenter.epochs", "1", "--segmenter.steps_per_epoch", "1"]
    words += ["--weak.epochs", "1", "--weak.snapshots", "[1]", "--quality.epochs", "1", "--images.size", "[32, 32]"]
    assert main([*words, "--quality.steps_per_epoch", "1"]) == 0
    assert "those of the preset are for UNet; SegResNet starts without any" in capsys.readouterr().out
    assert yaml.safe_load((out / "config.yaml").read_text())["segmenter"]["options"] == {}


def test_wrong_yaml(capsys, tmp_path):
    (tmp_path / "c.yaml").write_text("segmenter: {epocs: 3}\n")
    assert "did you mean segmenter.epochs" in fail(capsys, "--config", tmp_path / "c.yaml", "--out", tmp_path / "o")
    (tmp_path / "c.yaml").write_text("segmenter: [\n")
    fail(capsys, "--config", tmp_path / "c.yaml", "--out", tmp_path / "o")
    assert "nowhere.yaml" in fail(capsys, "--config", tmp_path / "nowhere.yaml")


def test_all_faults_of_a_set_at_once(capsys, dataset, tmp_path, tiny_config):
    root = dataset()
    (root / "images" / "0.png").unlink()
    (root / "masks" / "1.png").unlink()
    (root / "images" / "2.png").write_bytes(b"no image")
    (tmp_path / "o").mkdir()
    text = fail(capsys, "--data", root, "--config", tiny_config, "--out", tmp_path / "o")
    assert all(f"{name}: no such file" in text for name in ("images/0.png", "masks/1.png"))
    assert "images/2.png: unreadable" in text
    assert (tmp_path / "o").is_dir(), "a folder that was there stays"


def test_faults_of_pixels_at_once(capsys, dataset, tmp_path, tiny_config):
    from PIL import Image

    root = dataset()
    (root / "images" / "0.png").write_bytes(b"no image")
    Image.new("L", (30, 40)).save(root / "masks" / "1.png")
    Image.new("L", (9, 9), 255).save(root / "masks" / "2.png")
    text = fail(capsys, "--data", root, "--config", tiny_config, "--out", tmp_path / "o")
    assert all(name in text for name in ("images/0.png", "masks/1.png", "2.png"))


def test_missing_column(capsys, dataset, tmp_path, tiny_config):
    root = dataset()
    (root / "train.csv").write_text((root / "train.csv").read_text().replace("mask_path", "label"))
    text = fail(capsys, "--data", root, "--config", tiny_config, "--out", tmp_path / "o")
    assert "train.csv: column mask_path missing" in text


def test_no_pool(capsys, dataset, tmp_path, tiny_config):
    root = dataset(unlabeled=0)
    (root / "unlabeled.csv").unlink()
    words = ["--data", root, "--config", tiny_config, "--out", tmp_path / "o"]
    assert "PL-QW, QAR need unlabelled images" in fail(capsys, *words)


def test_unwritable_output(capsys, tmp_path, tiny_config):
    (tmp_path / "file").write_text("")
    assert "file" in fail(capsys, "--config", tiny_config, "--out", tmp_path / "file" / "run")


def test_full_disk(capsys, tmp_path, tiny_config, monkeypatch):
    """No space when the first weights are written: said in a line, no half file, and the run can go on."""
    out, real = tmp_path / "o", files.save_file

    def full(tensors, path, metadata):
        path.write_bytes(b"half")
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(files, "save_file", full)
    told = fail(capsys, "--config", tiny_config, "--out", out, "--method", "SUP")
    assert re.search(r"weak/[a-z-]+[.]safetensors: No space left on device\n$", told)
    assert not [p for p in out.rglob("*") if p.name.startswith(".") and p.name != ".lock"]
    monkeypatch.setattr(files, "save_file", real)
    assert main(["train", "--config", str(tiny_config), "--out", str(out), "--method", "SUP"]) == 0


def test_settings_changed(capsys, tiny_run, tiny_config):
    text = fail(capsys, "--config", tiny_config, "--out", tiny_run, "--seed", "5")
    assert "seed: there 0, now 5" in text


def test_commands(capsys):
    assert main([]) == 0
    assert main(["trian"]) == 2
    assert "did you mean train?" in capsys.readouterr().err
    assert main(["--version"]) == 0


def test_damaged_stage(tiny_run, tmp_path, capsys):
    """A damaged network file is named."""
    out = tmp_path / "copy"
    shutil.copytree(tiny_run, out)
    (out / "quality" / "best.safetensors").write_bytes(b"damaged")
    config = yaml.safe_load((out / "config.yaml").read_text()) | {"out": str(out)}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    assert "quality/best.safetensors" in fail(capsys, "--config", tmp_path / "c.yaml")
