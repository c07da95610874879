"""Two ranks over gloo train as one process does; what cannot be shared out is told; nothing is counted twice."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from qgssl_fast.ops import losses
from qgssl_fast.training import checkpoint, ranks
from qgssl_fast.training.interrupt import Agreement

SETTINGS = """
images: {size: [32, 32]}
phantoms: {train: 6, val: 5, test: 3, unlabeled: 8}
methods: [PL-QW, QAR, CPS-QW]
weak: # a network with parameters that are never used
  network: BasicUNetPlusPlus
  epochs: 2
  steps_per_epoch: 3
  batch: 4
  snapshots: [1, 2]
  options: {features: [4, 4, 4, 4, 8, 4], bias: false}
quality: {epochs: 2, steps_per_epoch: 4, batch: 8, backbone: small, options: {features: [4, 8]}}
segmenter:
  epochs: 3
  steps_per_epoch: 2
  labelled_batch: 4
  unlabelled_batch: 4
  options: {channels: [4, 8], strides: [2], dropout: 0.2, bias: false}
  guide: {quality: {threshold: 0.0}}
  method_lambda: {start: 1, ramp: 1, maximum: 0.5}
  regularizer_lambda: {start: 1, ramp: 1, maximum: 0.1}
"""
TOLERANCE = 1e-4
"""Of a weight. The sums of a gradient run in another order, and Adam divides by their size: differences of 1e-7 in a
small gradient become a part of a step of lr = 1e-3 or less."""


def launch(folder, count, *words, code=0):
    settings = folder / "small.yaml"
    if not settings.exists():
        settings.write_text(SETTINGS)
    start = [
        sys.executable,
        *(["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)] * (count > 1)),
    ]
    command = [*start, "-m", "qgssl_fast", "train", "--config", str(settings), "--device", "cpu", *words]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert (done.returncode == 0) == (code == 0), done.stderr[-3000:]
    return done


def rows(out):
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def test_two_ranks_train_to_the_weights_of_one(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    alone = launch(tmp_path, 1, "--out", str(one)).stdout
    said = launch(tmp_path, 2, "--out", str(two)).stdout
    assert "2 ranks" in said
    assert said.count("PL-QW") == alone.count("PL-QW") > 0, "one rank speaks"
    compared = 0
    for path in sorted(one.rglob("last.safetensors")):
        ours, theirs = load_file(two / path.relative_to(one)), load_file(path)
        for key in theirs:
            assert torch.allclose(ours[key].float(), theirs[key].float(), rtol=0, atol=TOLERANCE), (path, key)
            compared += 1
    assert compared > 50
    for mine, other in zip(rows(two), rows(one), strict=True):
        assert mine.keys() == other.keys()
        assert mine.pop("stage") == other.pop("stage")
        assert mine == pytest.approx(other, rel=2e-2, abs=2e-3)
    for path in sorted(one.rglob("bank-*.safetensors")):
        assert load_file(two / path.relative_to(one))["truth"].equal(load_file(path)["truth"])


INTERRUPTED = """
images: {size: [32, 32]}
phantoms: {train: 6, val: 4, test: 2, unlabeled: 4}
methods: [SUP]
weak: {epochs: 1, steps_per_epoch: 40, batch: 4, snapshots: [1], options: {channels: [4, 8], strides: [2]}}
quality: {epochs: 1, steps_per_epoch: 2, batch: 8, backbone: small, options: {features: [4, 8]}}
segmenter: {epochs: 1, steps_per_epoch: 2, labelled_batch: 4, options: {channels: [4, 8], strides: [2]}}
"""


@pytest.mark.parametrize("whom", ["worker", "launcher"])
def test_one_signal_ends_the_step_and_saves(tmp_path, whom):
    """To one rank alone, or to the launcher, as Ctrl-C: both ranks stop at once, not where they look (in 34 steps)."""
    (tmp_path / "small.yaml").write_text(INTERRUPTED)
    out = tmp_path / "out"
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    words = ["train", "--config", str(tmp_path / "small.yaml"), "--device", "cpu", "--out", str(out)]
    script = str(Path(__file__).with_name("ranks_interrupted.py"))
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([*start, script, whom, *words], capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode != 0
    stopped = re.search(r"weak: stopped and saved after step (\d+)", done.stdout)
    assert stopped is not None, done.stdout + done.stderr[-3000:]
    assert 6 <= int(stopped[1]) <= 9
    assert "go on with: torchrun --nproc-per-node 2 -m qgssl_fast train --out" in done.stdout
    with safe_open(out / "weak" / checkpoint.NEWEST, "pt") as file:
        assert json.loads(file.metadata()["state"])["step"] == int(stopped[1])
    if whom == "worker":  # and it goes on, with another number of ranks if need be
        said = launch(tmp_path, 1, "--out", str(out)).stdout
        assert f"weak: goes on after step {stopped[1]} of 40" in said


def test_all_stop_after_the_same_step_which_none_has_passed():
    """The agreement of three ranks on CPUs, in every order in which they may come to it between two collectives."""
    store = dist.HashStore()
    for number, order in enumerate(itertools.permutations(range(3))):
        for asked in [{0}, {2}, {0, 2}, {0, 1, 2}]:
            given = [Agreement("weak", cuda=False) for _ in range(3)]
            for one in given:
                one._store = dist.PrefixStore(f"{number}/{asked}", store)
            stopped = {}
            for step in (1, 2, 3, 4):
                for rank in order:  # all end a step before any ends the next
                    if given[rank].stops(step, rank in asked and step >= 2):
                        stopped.setdefault(rank, step)
            assert stopped == dict.fromkeys(range(3), 3)


def test_accelerates_launcher(tmp_path):
    """On CPUs with --multi_gpu, which starts ranks as torchrun does; accelerate's --cpu starts one process."""
    (tmp_path / "small.yaml").write_text(INTERRUPTED)
    start = [sys.executable, "-W", "error::FutureWarning", "-m", "accelerate.commands.launch", "--multi_gpu"]
    start += ["--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    words = ["train", "--config", str(tmp_path / "small.yaml"), "--device", "cpu", "--out", str(tmp_path / "out")]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [*start, "-m", "qgssl_fast", *words]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "2 ranks" in done.stdout
    assert done.stdout.count("preset phantoms") == 1
    assert "FutureWarning" not in done.stderr
    assert (tmp_path / "out" / "metrics.json").is_file()


def test_more_ranks_than_images(tmp_path):
    done = launch(tmp_path, 2, "--out", str(tmp_path / "o"), "--phantoms.train", "1", "--weak.batch", "1", code=2)
    assert "2 ranks, but 1 labelled training images: use fewer" in done.stderr
    assert done.stderr.count("labelled training images") == 1


def test_alone_all_is_as_it_is():
    values = torch.arange(5.0)
    assert torch.equal(ranks.gather(values[ranks.own(5)], 5), values)
    assert torch.equal(ranks.mean_over_ranks(values), values)
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    assert isinstance(ranks.as_one(network, [], torch.device("cpu"))[1], nn.BatchNorm2d)


def test_weighted_means_over_ranks(monkeypatch):
    """The mean over two ranks of sum(w l) / sum(w), each with the mean of both sums below, is that of all samples."""
    torch.manual_seed(0)
    logits, labels = torch.randn(6, 1, 8, 8), (torch.rand(6, 8, 8) > 0.5).to(torch.uint8)
    weights = torch.tensor([0.0, 0.9, 0.2, 0.0, 0.0, 0.4])
    whole = losses.consistency(logits, labels, weights, "bce_dice")
    halves = [slice(0, 3), slice(3, 6)]
    monkeypatch.setattr(losses._loss_at_once, "mean_over_ranks", lambda total: weights.sum() / 2)
    parts = [losses.consistency(logits[half], labels[half], weights[half], "bce_dice") for half in halves]
    assert float(sum(parts) / 2) == pytest.approx(float(whole), rel=1e-5)


def test_batch_norm_over_ranks_is_torchs(monkeypatch):
    """With one rank's statistics: the same numbers, gradients and running statistics as nn.BatchNorm2d."""
    monkeypatch.setattr(ranks.dist, "all_reduce", lambda values: None)
    torch.manual_seed(0)
    theirs = nn.BatchNorm2d(3)
    nn.init.normal_(theirs.weight)
    nn.init.normal_(theirs.bias)
    ours = ranks._global_batch_norm(nn.BatchNorm2d(3))
    ours.load_state_dict(theirs.state_dict())
    for _ in range(3):
        x = torch.randn(4, 3, 5, 5) * 3 + 1
        a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
        for module, values in ((ours, a), (theirs, b)):
            module.zero_grad()
            (module(values) ** 3).sum().backward()
        assert torch.allclose(a.grad, b.grad, rtol=1e-4, atol=1e-3)
        assert torch.allclose(ours.weight.grad, theirs.weight.grad, rtol=1e-4)
    for key, value in theirs.state_dict().items():
        assert torch.allclose(ours.state_dict()[key], value), key
    assert torch.allclose(ours.eval()(x), theirs.eval()(x), atol=1e-5)
