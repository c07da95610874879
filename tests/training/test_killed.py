"""kill -9 at random moments, most of them while files are written: the run goes on to the same bytes.

QGSSL_KILLS says at how many moments; the default is what a quick run of all tests can afford.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import runpy
import signal
from pathlib import Path

import pytest

KILLS = int(os.environ.get("QGSSL_KILLS", "12"))
SCRIPT = Path(__file__).with_name("killed.py")
SETTINGS = """
images: {size: [32, 32]}
phantoms: {train: 6, val: 4, test: 2, unlabeled: 8}
methods: [PL-QW]
look_every: 1
checkpoint_seconds: 0.0
weak: {epochs: 2, steps_per_epoch: 3, batch: 4, snapshots: [1, 2], options: {channels: [4, 8, 16], strides: [2, 2]}}
quality: {epochs: 2, steps_per_epoch: 3, batch: 8, backbone: small, options: {features: [4, 8]}}
segmenter:
  epochs: 3
  steps_per_epoch: 2
  labelled_batch: 4
  unlabelled_batch: 4
  options: {channels: [4, 8, 16], strides: [2, 2], dropout: 0.1}
  method_lambda: {start: 1, ramp: 1, maximum: 0.5}
"""


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    """train(out, at, after) -> exit code, negative where it was killed; from a server that has imported torch once."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["qgssl_fast.training.run", "qgssl_fast.cli.train"])
    settings = tmp_path_factory.mktemp("settings") / "small.yaml"
    settings.write_text(SETTINGS)

    def run(out, at=0, after=0.0, count=""):
        words = ["train", "--out", str(out)]
        words += [] if (out / "config.yaml").exists() else ["--config", str(settings)]
        given = {"WORDS": words, "AT": at, "AFTER": after, "COUNT": str(count), "SAID": f"{out}.txt"}
        process = context.Process(target=runpy.run_path, args=(str(SCRIPT),), kwargs={"init_globals": given})
        process.start()
        process.join(120)
        assert process.exitcode is not None, "it hangs"
        return process.exitcode

    return run


def content(out: Path) -> dict[str, bytes]:
    """All that must be the same: every tensor file, the log, the scores."""
    kept = [*out.rglob("*.safetensors"), *out.rglob("*.csv"), out / "log.jsonl", out / "splits.json"]
    return {str(path.relative_to(out)): path.read_bytes() for path in kept if "phantoms" not in path.parts}


def test_goes_on_to_the_same_bytes(train, tmp_path):
    whole = tmp_path / "whole"
    assert train(whole, count=tmp_path / "count") == 0
    changes = int((tmp_path / "count").read_text())
    assert changes > 100
    wanted = content(whole)
    assert len(wanted) >= 10
    chance, kills, runs = random.Random(8), 0, 0
    while kills < KILLS:
        out = tmp_path / f"cut-{runs}"
        runs += 1
        code = -signal.SIGALRM
        while code == -signal.SIGALRM:
            # A stage that goes on makes fewer changes than the whole run: most moments lie early.
            last = kills >= KILLS
            at = 0 if last else chance.randrange(1, chance.choice((10, changes // 4, changes)))
            code = train(out, at, chance.choice((0.0, 0.002, 0.02, 0.1)) * chance.random())
            kills += code == -signal.SIGALRM
        assert code == 0, Path(f"{out}.txt").read_text()[-2000:]
        found = content(out)
        assert found.keys() == wanted.keys()
        odd = [name for name in wanted if found[name] != wanted[name]]
        assert not odd, f"after kill {kills} of run {runs}"
        left = [path for path in out.rglob(".*") if path.name != ".lock"]
        assert not left
    print(f"{kills} kills in {runs} runs, {changes} changes each")


def test_two_runs_give_the_same_bytes(train, tmp_path):
    for name in ("a", "b"):
        assert train(tmp_path / name) == 0
    assert content(tmp_path / "a") == content(tmp_path / "b")
