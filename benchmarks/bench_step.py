"""A training step as a whole: against its networks alone, against the usual way of writing it, and its corruption.

pytest benchmarks/bench_step.py
python benchmarks/bench_step.py --out benchmarks/results/step-cpu.json --docs docs/training.md

`overhead` is what everything but the networks adds: data, augmentation, corruption, losses, clipping, the teacher's
average, the loop's own work. Networks alone: the forward passes that a step makes, with the same inputs, one backward
pass, the optimiser. All are timed in turns; the fastest fifth of rounds is what counts (a machine that is shared only
ever makes a step slower), the median stands beside. On phantoms, at the sizes and batches of a preset.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
import torch
from machine import describe
from published_way import Corrupted, Labelled, PhaseOne, PhaseTwo, Pool

from qgssl_fast.corruption import MaskBank
from qgssl_fast.data import DeviceStore, make_phantoms
from qgssl_fast.files import write_text
from qgssl_fast.networks import Segmenter
from qgssl_fast.quality.predictor import QualityPredictor
from qgssl_fast.recipes import load_recipe
from qgssl_fast.training.config import Config
from qgssl_fast.training.engine import Engine
from qgssl_fast.training.logging import Meter
from qgssl_fast.training.pairs import make_pair
from qgssl_fast.training.settings import load_preset
from qgssl_fast.training.stage import Part, Stage
from qgssl_fast.training.stages import FixedSet, QualityStage, SegmenterStage

PHASES = {"quality": "phase 1", "pseudo_label+quality": "phase 2, PL-QW", "supervised+regularizer": "phase 2, QAR"}


class Setting:
    """A preset's networks and batches on phantoms of its size."""

    def __init__(self, preset: str, folder: Path, device: str = "cpu") -> None:
        self.config = Config(device=device)
        for key, value in load_preset(preset).items():
            section, _, name = key.rpartition(".")
            setattr(attrgetter(section)(self.config) if section else self.config, name, value)
        self.side = self.config.images.size[0]
        counts = {"train": 16, "val": 2, "test": 1, "unlabeled": 64}
        self.dataset = make_phantoms(folder / "phantoms", self.side, counts)
        size = (self.side, self.side)
        self.stores = {
            name: DeviceStore.from_cases(self.dataset.splits[name], size, channels=3, device=device)
            for name in ("train", "val", "unlabeled")
        }
        self.banks = {name: MaskBank(self.stores[name].truth.cpu()).to(device) for name in ("train", "val")}
        for name, bank in self.banks.items():
            bank.add(self.stores[name].truth.roll(3, 1))

    def predictor(self) -> QualityPredictor:
        c = self.config.quality
        return QualityPredictor(c.backbone, in_channels=3, options=c.options).to(self.config.device)

    def segmenter(self) -> Segmenter:
        c = self.config.segmenter
        return Segmenter(c.network, image_size=(self.side, self.side), options=c.options).to(self.config.device)

    def stage(self, phase: str) -> Stage:
        if phase == "quality":
            recipe = load_recipe(self.config.quality.recipe)
            fixed = FixedSet.draw(self.stores["val"], self.banks["val"], recipe, 2, 0)
            train = self.stores["train"], self.banks["train"]
            return QualityStage(self.config.quality, self.predictor(), *train, fixed, recipe, 0)
        method, guide = make_pair(*phase.split("+"), self.predictor(), self.config.segmenter)
        return SegmenterStage(phase, self.config.segmenter, self.segmenter(), method, guide, self.stores, seed=0)


def first_step(stage: Stage) -> int:
    """From here on lambda has its last value."""
    return max(8, stage.patience_from * stage.steps_per_epoch + 1)


def networks_alone(stage: Stage, engine: Engine) -> Callable[[], None]:
    """A function that repeats the network calls of one step on fixed tensors, one backward pass and the optimiser."""
    calls: list[tuple[Any, tuple[Any, ...], dict[str, Any], bool]] = []

    def fixed(value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        return value.detach().clone().requires_grad_(value.requires_grad)

    def note(module: Any, inputs: tuple[Any, ...], options: dict[str, Any]) -> None:
        calls.append((module, tuple(map(fixed, inputs)), options, torch.is_grad_enabled()))

    networks = [*stage.modules().values(), *stage.helpers()]
    hooks = [network.register_forward_pre_hook(note, with_kwargs=True) for network in networks]
    stage.loss(stage.draw(first_step(stage), Part()))
    for hook in hooks:
        hook.remove()

    def step() -> None:
        total = torch.zeros((), device=engine.device)
        for module, inputs, options, grad in calls:
            with torch.set_grad_enabled(grad):
                out = module(*inputs, **options)
            if grad:
                total = total + out.float().mean()
        total.backward()
        stage.optimizer.step()
        stage.optimizer.zero_grad()

    return step


def in_turns(steps: dict[str, Callable[[], None]], rounds: int, warm_up: int = 3) -> dict[str, list[float]]:
    """Sorted seconds of each, timed one after the other in every round."""
    took: dict[str, list[float]] = {name: [] for name in steps}
    for k in range(warm_up + rounds):
        for name, step in steps.items():
            began = time.perf_counter()
            step()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if k >= warm_up:
                took[name].append(time.perf_counter() - began)
    return {name: sorted(values) for name, values in took.items()}


def whole_step(stage: Stage, engine: Engine) -> Callable[[], None]:
    meter, number = Meter(), iter(range(first_step(stage), 10**9))

    def step() -> None:
        k = next(number)
        meter.add(k, engine.take_step(k))
        if k % engine.look_every == 0:
            meter.look()

    return step


def usual_way(setting: Setting, phase: str, cv2: Any) -> Callable[[], None]:
    splits, side, c = setting.dataset.splits, setting.side, setting.config
    if phase == "quality":
        data = Corrupted(splits["train"], side, cv2, load_recipe("paper"))
        return PhaseOne(setting.predictor(), data, c.quality.batch, c.quality.lr).step
    sets = Labelled(splits["train"], side, cv2), Pool(splits["unlabeled"], side, cv2)
    batches = c.segmenter.labelled_batch, c.segmenter.unlabelled_batch
    return PhaseTwo(setting.segmenter(), setting.predictor(), *sets, batches, c.segmenter.lr).step


def measure(setting: Setting, phase: str, rounds: int, usual: bool) -> dict[str, Any]:
    engine, stage = Engine(setting.config), setting.stage(phase)
    engine.prepare(stage)
    steps = {"whole": whole_step(stage, engine), "networks": networks_alone(stage, engine)}
    if usual and phase != "supervised+regularizer":
        import cv2

        steps["usual"] = usual_way(setting, phase, cv2)
    all_rounds = in_turns(steps, rounds)
    took = {name: values[len(values) // 5] for name, values in all_rounds.items()}
    found: dict[str, Any] = {f"{name}_ms": round(1e3 * value, 2) for name, value in took.items()}
    found |= {f"{name}_median_ms": round(1e3 * statistics.median(values), 2) for name, values in all_rounds.items()}
    found["overhead"] = round(took["whole"] / took["networks"] - 1, 4)
    if "usual" in took:
        found["times_usual"] = round(took["usual"] / took["whole"], 2)
    engine.release()
    return found


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("preset", ["phantoms", "cpu"])
@pytest.mark.benchmark(group="a whole step")
def test_whole_step(benchmark, preset, phase, tmp_path):
    torch.set_num_threads(2)
    setting = Setting(preset, tmp_path)
    engine, stage = Engine(setting.config), setting.stage(phase)
    engine.prepare(stage)
    benchmark.pedantic(whole_step(stage, engine), rounds=30, warmup_rounds=3)
    if benchmark.stats is not None:
        benchmark.extra_info |= measure(setting, phase, 20, usual=False)


@pytest.mark.parametrize("preset", ["phantoms", "cpu"])
@pytest.mark.benchmark(group="a step of the quality predictor")
def test_share_of_corruption(benchmark, preset, tmp_path):
    torch.set_num_threads(2)
    setting = Setting(preset, tmp_path)
    engine, stage, spent = Engine(setting.config), setting.stage("quality"), []
    engine.prepare(stage)
    corruptor = stage.corruptor

    def timed(*arguments, **options):
        began = time.perf_counter()
        out = corruptor(*arguments, **options)
        spent.append(time.perf_counter() - began)
        return out

    stage.corruptor = timed
    benchmark.pedantic(whole_step(stage, engine), rounds=60, warmup_rounds=5)
    if benchmark.stats is not None:
        benchmark.extra_info["corruption_share"] = statistics.median(spent[5:]) / benchmark.stats.stats.median
        benchmark.extra_info["batch"] = setting.config.quality.batch


def table(found: dict[str, dict[str, Any]]) -> str:
    """Markdown."""
    head = ["preset", "step", "whole step", "networks alone", "overhead", "usual way", "ratio"]
    lines = [" | ".join(head), " | ".join(["---"] * len(head))]
    for name, row in found.items():
        preset, phase = name.split(": ")
        usual = f"{1e3 / row['usual_ms']:.2f} steps/s" if "usual_ms" in row else "–"
        ratio = f"{row['times_usual']:.1f}" if "usual_ms" in row else "–"
        whole = f"{row['whole_ms']:.1f} ms, {1e3 / row['whole_ms']:.2f} steps/s"
        cells = (preset, phase, whole, f"{row['networks_ms']:.1f} ms", f"{row['overhead']:.1%}", usual, ratio)
        lines.append(" | ".join(cells))
    return "\n".join(f"| {line} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--presets", nargs="+", default=["phantoms", "cpu"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--out", type=Path, help="file of results to write; rows of other presets in it stay")
    parser.add_argument("--docs", type=Path, help="page whose table to renew")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    rows = json.loads(chosen.out.read_text(encoding="utf-8"))["steps"] if chosen.out and chosen.out.exists() else {}
    for preset in chosen.presets:
        with tempfile.TemporaryDirectory() as folder:
            setting = Setting(preset, Path(folder), chosen.device)
            for phase, name in PHASES.items():
                rows[f"{preset}: {name}"] = measure(setting, phase, chosen.rounds, usual=True)
                print(table(rows).splitlines()[-1], flush=True)
    machine = describe() | {"threads": chosen.threads, "device": chosen.device}
    if chosen.out:
        command = "python benchmarks/bench_step.py"
        write_text(chosen.out, json.dumps({"machine": machine, "command": command, "steps": rows}, indent=1) + "\n")
    if chosen.docs:
        page = chosen.docs.read_text(encoding="utf-8")
        head, rest = page.split("<!-- begin steps -->\n")
        told = (
            f"{machine['processor']}, {chosen.threads} thread(s), torch {machine['torch']}, commit {machine['commit']}"
        )
        rest = rest.split("<!-- end steps -->")[1]
        write_text(chosen.docs, f"{head}<!-- begin steps -->\n{told}.\n\n{table(rows)}\n<!-- end steps -->{rest}")


if __name__ == "__main__":
    main()
