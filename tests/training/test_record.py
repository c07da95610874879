"""run.json, data that changed, ranks that disagree, and a run folder that cannot run code."""

from __future__ import annotations

import json
import pickle
import re
import shutil
from pathlib import Path

import pytest
import torch

import qgssl_fast
from qgssl_fast.cli.main import main
from qgssl_fast.errors import InputError, ToldElsewhere
from qgssl_fast.networks import Segmenter
from qgssl_fast.quality import QualityPredictor
from qgssl_fast.training import engine as engines
from qgssl_fast.training.config import Config
from qgssl_fast.training.record import commit, data_hash, write_record
from qgssl_fast.training.settings import flatten, to_dict

SOURCE = Path(qgssl_fast.__file__).parent


def test_run_json(stores, tmp_path):
    given = (tmp_path / "run.json", stores, torch.device("cpu"), 1, 7, "qgssl-fast train --seed 7")
    assert write_record(*given) == []
    found = json.loads((tmp_path / "run.json").read_text())
    assert (found["seed"], found["command"], found["ranks"]) == (7, "qgssl-fast train --seed 7", 1)
    assert found["packages"]["torch"] == torch.__version__
    assert found["processor"]
    assert found["threads"] == torch.get_num_threads()
    assert len(found["data_hash"]) == 32
    assert found["commit"] == commit()
    assert write_record(*given) == []
    torch.set_num_threads(2)
    assert write_record(*given) == ["threads: 1 when the run began, now 2: bits may differ"]
    assert json.loads((tmp_path / "run.json").read_text()) == found, "it tells how the run began"


def test_other_data_are_refused(stores, tmp_path):
    given = (torch.device("cpu"), 1, 0, "")
    write_record(tmp_path / "run.json", stores, *given)
    before = data_hash(stores)
    mask = stores["train"].labels.bits
    mask[0, 0, 0] ^= 1
    try:
        assert data_hash(stores) != before
        with pytest.raises(InputError, match=r"data: the images or masks are not those that .* was begun with"):
            write_record(tmp_path / "run.json", stores, *given)
    finally:
        mask[0, 0, 0] ^= 1


def test_ranks_that_disagree(monkeypatch):
    ours, theirs = Config(device="cpu"), Config(device="cpu")
    theirs.segmenter.lr = 0.5
    engine = engines.Engine(ours)
    engine.ranks = 2
    monkeypatch.setattr(engines, "gather_object", lambda _: [flatten(to_dict(ours)), flatten(to_dict(theirs))])
    with pytest.raises(InputError, match=r"ranks disagree on their settings, by rank:\n  - segmenter.lr: 0.0001, 0.5"):
        engine._agree(ours)
    engine.main = False
    with pytest.raises(ToldElsewhere):
        engine._agree(ours)


def test_nothing_in_the_package_unpickles():
    """safetensors and JSON alone: what could run code from a file is not called anywhere."""
    calls = re.compile(
        r"torch\.load\(|pickle|joblib|dill\b|shelve|marshal|allow_pickle\s*=\s*True|yaml\.(unsafe_|full_)?load\(|"
        r"read_pickle|\beval\(|\bexec\("
    )
    harmless = re.compile(r"\.eval\(\)|[Nn]othing is (un)?pickled|unpickled|allow_pickle=False")
    found = [
        f"{path.relative_to(SOURCE)}: {line.strip()}"
        for path in SOURCE.rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if calls.search(harmless.sub("", line.split("#")[0]))
    ]
    assert not found


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


@pytest.mark.parametrize("form", ["pickle", "torch"])
def test_a_malicious_file_runs_nothing(form, tmp_path):
    harmed, path = tmp_path / "harmed", tmp_path / "best.safetensors"
    if form == "pickle":
        path.write_bytes(pickle.dumps(Malicious(str(harmed))))
    else:
        torch.save({"weight": Malicious(str(harmed))}, path)
    for kind in (Segmenter, QualityPredictor, qgssl_fast.MaskBank):
        with pytest.raises(InputError, match=r"best\.safetensors"):
            kind.load(path)
    assert not harmed.exists()
    pickle.loads(pickle.dumps(Malicious(str(harmed))))
    assert harmed.exists(), "the file would have done it"


def test_a_malicious_run_folder_runs_nothing(tmp_path, capsys):
    """Files of a run replaced by ones that would run code if they were unpickled, or loaded as any YAML."""
    out, harmed = tmp_path / "run", tmp_path / "harmed"
    settings = tmp_path / "small.yaml"
    settings.write_text(
        "images: {size: [32, 32]}\nphantoms: {train: 4, val: 2, test: 1, unlabeled: 4}\nmethods: [SUP]\n"
        "weak: {epochs: 1, steps_per_epoch: 1, batch: 4, snapshots: [1], options: {channels: [4, 8], strides: [2]}}\n"
        "quality: {epochs: 1, steps_per_epoch: 1, batch: 4, backbone: small, options: {features: [4, 8]}}\n"
        "segmenter: {epochs: 1, steps_per_epoch: 1, labelled_batch: 4, options: {channels: [4, 8], strides: [2]}}\n"
    )
    assert main(["train", "--config", str(settings), "--out", str(out)]) == 0
    evil = pickle.dumps(Malicious(str(harmed)))
    built = f'x: !!python/object/apply:builtins.open ["{harmed}", "w"]\n'.encode()
    files = "config.yaml run.json weak/metrics.json weak/bank-train.safetensors quality/best.safetensors"
    for name in files.split():
        copy = tmp_path / "copy"
        shutil.copytree(out, copy)
        (copy / "metrics.json").unlink()
        (copy / "segmenter" / "SUP" / "metrics.json").unlink()
        (copy / name).write_bytes(built if name == "config.yaml" else evil)
        capsys.readouterr()
        assert main(["train", "--out", str(copy)]) == 2
        assert name in capsys.readouterr().err
        shutil.rmtree(copy)
    assert not harmed.exists()
