"""The loop: what it does when a loss is not finite, when it is interrupted, when it has waited long enough."""

from __future__ import annotations

import json
import signal

import pytest
import torch

from qgssl_fast.errors import InputError
from qgssl_fast.training import faults, spans
from qgssl_fast.training.config import LambdaConfig
from qgssl_fast.training.engine import Engine
from qgssl_fast.training.logging import Log, Meter, NotFinite, check_trackers
from qgssl_fast.training.loop import State, fit
from qgssl_fast.training.stage import Part

from .conftest import NAMES, weights


@pytest.mark.parametrize("name", NAMES)
def test_interrupted_in_every_epoch_it_comes_to_the_same(
    name, make_stage, make_engine, make_log, tmp_path, monkeypatch
):
    whole = make_stage(name, tmp_path / "whole")
    (tmp_path / "whole").mkdir()
    fit(whole, make_engine(), tmp_path / "whole", make_log(tmp_path / "whole"))
    take_step = Engine.take_step

    def interrupted(self, step):
        if step in stops:
            stops.remove(step)
            signal.raise_signal(signal.SIGINT)
        return take_step(self, step)

    monkeypatch.setattr(Engine, "take_step", interrupted)
    cut, stops = tmp_path / "cut", [1, 3, 5, 11]
    cut.mkdir()
    for _ in range(4):
        with pytest.raises(KeyboardInterrupt):
            fit(make_stage(name, cut), make_engine(), cut, make_log(cut))
    stage = make_stage(name, cut)
    state = fit(stage, make_engine(), cut, make_log(cut))
    assert state.step == 12
    for key, value in weights(whole).items():
        assert torch.equal(weights(stage)[key], value), key
    assert (cut / "log.jsonl").read_text() == (tmp_path / "whole" / "log.jsonl").read_text()


def test_the_second_signal_stops_at_once(make_stage, make_engine, make_log, tmp_path, monkeypatch):
    taken, handler = [], signal.getsignal(signal.SIGINT)

    def impatient(self, step):
        taken.append(step)
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("it went on")

    monkeypatch.setattr(Engine, "take_step", impatient)
    with pytest.raises(KeyboardInterrupt):
        fit(make_stage("weak"), make_engine(), tmp_path, make_log(tmp_path))
    assert taken == [0]
    assert not list(tmp_path.glob("checkpoint*"))
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.parametrize(("bad", "term"), [(float("nan"), "method"), (float("inf"), "method"), (None, "gradient")])
def test_a_loss_that_is_not_finite(bad, term, make_stage, make_engine, make_log, tmp_path, monkeypatch):
    stage = make_stage("segmenter/pseudo_label")
    losses = type(stage.method).losses
    calls = []

    def spoiled(self, student, teacher, batch, guide):
        found = losses(self, student, teacher, batch, guide)
        calls.append(1)
        if len(calls) == 3:  # the third step with unlabelled images, step 6
            if bad is None:
                weight = next(stage.model.parameters())
                weight.register_hook(lambda gradient: gradient * float("nan"))
            else:
                found.method = found.method + bad
        return found

    monkeypatch.setattr(type(stage.method), "losses", spoiled)
    with pytest.raises(InputError) as error:
        fit(stage, make_engine(), tmp_path, make_log(tmp_path))
    text = str(error.value)
    assert text.startswith(f"segmenter/pseudo_label: {term} is not finite at step 6 (epoch 2)")
    batch = stage.draw(6, Part())
    for key in ("labelled_ids", "unlabelled_ids"):
        assert f"{key} {batch[key].tolist()}" in text
    good = make_stage("segmenter/pseudo_label")
    from qgssl_fast.training import checkpoint

    state, said = checkpoint.load_newest(tmp_path, good.modules(), good.optimizer)
    assert (state["step"], said) == (4, [])
    assert all(bool(torch.isfinite(value).all()) for value in weights(good).values())


def test_patience_counts_from_where_lambda_is_final(make_stage, make_engine, make_log, tmp_path, monkeypatch):
    """The score falls from the first epoch on; lambda reaches its last value after epoch 4, patience is 2."""
    stage = make_stage(
        "segmenter/pseudo_label", epochs=12, steps_per_epoch=1, patience=2, method_lambda=LambdaConfig(2, 2, 0.5),
        regularizer_lambda=LambdaConfig(0, 0, 0.1),
    )  # fmt: skip
    assert stage.patience_from == 4
    scores = iter(range(100, 0, -1))
    monkeypatch.setattr(stage, "validate", lambda: {"val_dice": float(next(scores))})
    state = fit(stage, make_engine(), tmp_path, make_log(tmp_path))
    assert (state.step, state.best_epoch) == (6, 1)


def test_finished():
    stage = type("S", (), {"steps_per_epoch": 4, "epochs": 5, "patience": 0, "patience_from": 0})
    assert State(0.0, step=20).finished(stage)
    assert not State(0.0, step=19).finished(stage)
    stage.patience = 2
    assert State(0.0, best_epoch=1, step=12).finished(stage)
    assert not State(0.0, best_epoch=1, step=13).finished(stage), "in the middle of an epoch"


def test_out_of_memory(make_stage, make_engine, make_log, tmp_path, monkeypatch):
    stage = make_stage("quality")

    def full(*_, **__):
        raise torch.OutOfMemoryError(
            "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 4 GiB"
        )

    monkeypatch.setattr(stage, "corruptor", full)
    with pytest.raises(
        InputError, match=r"quality: out of memory in .*, 2.50 GiB more were wanted.*lower quality.batch"
    ):
        fit(stage, make_engine(), tmp_path, make_log(tmp_path))


def test_out_of_memory_says_where():
    with pytest.raises(RuntimeError) as error:
        torch.optim.AdamW([torch.zeros(1)]).step(lambda: torch.empty(1) @ torch.empty(2))
    assert faults.place(error.value) == "optimiser"
    with pytest.raises(RuntimeError, match="other"), faults.told(None):
        raise RuntimeError("other errors pass")


def test_meter_means_and_what_it_keeps():
    meter = Meter()
    for step in range(4):
        meter.add(step, {"a": torch.tensor(float(step))} | ({"b": torch.tensor(1.0)} if step > 1 else {}))
    meter.look()
    again = Meter(json.loads(json.dumps(meter.state())))
    again.add(4, {"a": torch.tensor(4.0)})
    again.look()
    assert again.means() == {"a": 2.0, "b": 1.0}
    assert again.means() == {}
    again.add(7, {"a": torch.tensor(1.0), "b": torch.tensor(float("inf"))})
    with pytest.raises(NotFinite) as error:
        again.look()
    assert (error.value.key, error.value.step) == ("b", 7)


def test_trackers(tmp_path, monkeypatch):
    with pytest.raises(
        InputError, match=r"trackers: wanted some of .*, got 'tensorbord' \(did you mean tensorboard\?\)"
    ):
        check_trackers(["tensorbord"])
    monkeypatch.setattr("accelerate.tracking.is_wandb_available", lambda: False)
    with pytest.raises(InputError, match="trackers: wandb is not installed"):
        check_trackers(["wandb"])
    check_trackers(["tensorboard"])
    log = Log(tmp_path)
    with log.stage("segmenter/SUP", 0):
        log.write({"stage": "segmenter/SUP", "step": 4, "epoch": 1, "loss": 0.5})
    with log.stage("segmenter/SUP", 2):
        assert log.rows() == []
    assert len(list((tmp_path / "tensorboard" / "segmenter" / "SUP").iterdir())) == 2


def test_log_of_other_ranks_is_silent(tmp_path, capsys):
    log = Log(tmp_path, main=False)
    log.say("x")
    with log.stage("weak", 0):
        log.write({"stage": "weak", "step": 1, "loss": 1.0})
    assert not list(tmp_path.iterdir())
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("name", "parts"), [("quality", ["corruption"]), ("segmenter/pseudo_label", [])])
def test_profile(name, parts, make_stage, make_engine, make_log, tmp_path):
    engine, stage = make_engine(), make_stage(name, epochs=5)
    engine.profile_folder = tmp_path / "profile"
    fit(stage, engine, tmp_path, make_log(tmp_path))
    path = tmp_path / "profile" / f"{name.replace('/', '-')}.txt"
    rows = {line.split()[0]: float(line.split()[1]) for line in path.read_text().splitlines()[1:]}
    assert list(rows) == [*spans.PARTS, "all"]
    for part in ("data", "augmentation", "networks", "losses", "optimiser", "host", *parts):
        assert rows[part] > 0, part
    assert sum(rows.values()) == pytest.approx(2 * rows["all"], abs=0.1)
    names = {event.get("name") for event in json.loads(path.with_suffix(".json").read_text())["traceEvents"]}
    assert {"networks", "optimiser", "aten::convolution"} <= names
    assert spans.span("data") is spans.span("losses"), "nothing is left switched on"


def test_profile_of_a_short_stage(make_stage, make_engine, make_log, tmp_path):
    engine = make_engine()
    engine.profile_folder = tmp_path / "profile"
    fit(make_stage("weak", epochs=2, steps_per_epoch=2), engine, tmp_path, make_log(tmp_path))
    assert "networks" in (tmp_path / "profile" / "weak.txt").read_text()


@pytest.mark.parametrize("name", ["quality", "segmenter/pseudo_label"])
def test_nvtx_ranges_are_there_where_cuda_is(name, make_stage, make_engine, monkeypatch):
    """Under Nsight Systems without --profile; torch's ranges stood in for."""
    opened: list[str] = []
    depth = [0]

    class Range:
        def __init__(self, text):
            opened.append(text)

        def __enter__(self):
            depth[0] += 1

        def __exit__(self, *_):
            depth[0] -= 1

    stage, engine = make_stage(name), make_engine()
    engine.prepare(stage)
    engine.take_step(0)
    assert not opened, "a span costs something though nobody looks"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda.nvtx, "range", Range)
    monkeypatch.setattr(spans, "_nvtx", True)
    engine.take_step(5)
    monkeypatch.undo()
    assert {"data", "networks", "losses", "optimiser"} <= set(opened) <= set(spans.PARTS)
    assert depth == [0]
