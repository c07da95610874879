"""The example loops run, and learn."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch

from qgssl_fast.quality import QualityPredictor

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


def load(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(name, *words):
    """(first, last) loss that the script prints."""
    path = [sys.executable, str(EXAMPLES / f"{name}.py"), *map(str, words)]
    done = subprocess.run(
        path, capture_output=True, text=True, cwd=ROOT, env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr
    first, last = done.stdout.split("loss ")[1].split(" -> ")
    return float(first), float(last)


@pytest.fixture
def predictor_file(tmp_path):
    torch.manual_seed(0)
    return QualityPredictor("small", options={"features": [8, 8]}).save(tmp_path / "quality.safetensors")


@pytest.mark.parametrize("name", ["plain_pytorch_loop", "monai_loop"])
@pytest.mark.parametrize("with_file", [False, True])
def test_binary_loops(name, with_file, predictor_file):
    first, last = run(name, *([predictor_file] if with_file else []))
    assert last < first


def test_ssl4mis_style(tmp_path):
    pytest.importorskip("h5py")
    first, last = run("ssl4mis_style")
    assert last < first
    example = load("ssl4mis_style")
    example.make_up(tmp_path)
    file = QualityPredictor("small", 2, 1, 4, options={"features": [8]}).save(tmp_path / "quality.safetensors")
    first, last = run("ssl4mis_style", tmp_path, file)
    assert last < first


class StandIn:
    """What the example uses of nnU-Net's trainer, where nnunetv2 is not installed."""

    def __init__(self, levels):
        torch.manual_seed(0)
        self.device, self.grad_scaler = torch.device("cpu"), None
        self.network = Levels(levels)
        self.optimizer = torch.optim.SGD(self.network.parameters(), 0.05)

    def loss(self, output, target):
        pairs = zip(output, target) if isinstance(output, list) else [(output, target)]
        return sum(torch.nn.functional.cross_entropy(o, t[:, 0].long()) for o, t in pairs)

    def on_train_start(self):
        pass


class Levels(torch.nn.Module):
    """Logits of three classes at one or two resolutions."""

    def __init__(self, levels):
        super().__init__()
        self.levels, self.convolution = levels, torch.nn.Conv2d(1, 3, 3, padding=1)

    def forward(self, x):
        out = self.convolution(x)
        return [out, out[..., ::2, ::2]] if self.levels == 2 else out


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize("unlabelled", [["b"], ["a", "b"], []])
def test_nnunet_trainer(levels, unlabelled, tmp_path, monkeypatch):
    """The trainer's step, on nnU-Net's own base class where it is installed (network and data left out)."""
    try:
        from nnunetv2.training.nnUNetTrainer import nnUNetTrainer as module
    except ImportError:
        module = types.ModuleType("nnUNetTrainer")
        module.nnUNetTrainer = type("nnUNetTrainer", (), {"on_train_start": lambda self: None})
        for name in ("nnunetv2", "nnunetv2.training", "nnunetv2.training.nnUNetTrainer"):
            monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
        monkeypatch.setitem(sys.modules, "nnunetv2.training.nnUNetTrainer.nnUNetTrainer", module)
    monkeypatch.setattr(module.nnUNetTrainer, "on_train_start", lambda self: None)
    (tmp_path / "names.txt").write_text("\n".join(unlabelled))
    file = QualityPredictor("small", 2, 1, 3, options={"features": [8]}).save(tmp_path / "quality.safetensors")
    monkeypatch.setenv("QGSSL_PREDICTOR", str(file))
    monkeypatch.setenv("QGSSL_UNLABELLED", str(tmp_path / "names.txt"))
    cls = load("nnunet_trainer").nnUNetTrainerQualityGuided
    trainer = cls.__new__(cls)
    vars(trainer).update(vars(StandIn(levels)))
    trainer.loss = StandIn(levels).loss
    trainer.on_train_start()
    trainer.guide.threshold = 0.0
    data, target = torch.randn(2, 1, 16, 16), torch.randint(0, 3, (2, 1, 16, 16))
    targets = [target, target[..., ::2, ::2]] if levels == 2 else target
    batch = {"data": data, "target": targets, "keys": ["a", "b"]}
    taught = [p.clone() for p in trainer.teacher.parameters()]
    losses = [float(trainer.train_step(batch)["loss"]) for _ in range(20)]
    assert losses[-1] < losses[0]
    assert any(not torch.equal(a, b) for a, b in zip(taught, trainer.teacher.parameters()))
    assert all(p.grad is None for p in trainer.teacher.parameters())


@pytest.mark.slow
def test_nnunet_trains(tmp_path):
    """Planning, preprocessing and two epochs of three steps in nnU-Net itself, on discs; continued after the first."""
    pytest.importorskip("nnunetv2", reason="nnunetv2 is not installed")
    script = Path(__file__).with_name("nnunet_tiny.py")
    command = [sys.executable, str(script), str(tmp_path), str(EXAMPLES / "nnunet_trainer.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    assert "2 epochs" in done.stdout


def test_examples_are_short():
    lengths = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in EXAMPLES.glob("*.py")}
    assert len(lengths) >= 4
    assert all(length < 80 for length in lengths.values()), lengths
