"""A training step as a whole: against its networks alone, and against the published pipeline (``published_way.py``).

`overhead` is what everything but the networks adds: data, augmentation, corruption, losses, clipping, the teacher's
average, the loop's own work. Networks alone: the forward passes that a step makes, with the same inputs, one backward
pass, the optimiser. All are timed in turns; the fastest fifth of rounds is what counts (a machine that is shared only
ever makes a step slower), the median stands beside. On phantoms, at the sizes and batches of a preset.
"""

from __future__ import annotations

import functools
import statistics
import tempfile
import time
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from typing import Any

import torch

from ..corruption import MaskBank
from ..data import DeviceStore, make_phantoms
from ..networks import Segmenter
from ..quality.predictor import QualityPredictor
from ..recipes import load_recipe
from ..training.config import Config
from ..training.engine import Engine
from ..training.logging import Meter
from ..training.pairs import make_pair
from ..training.settings import load_preset
from ..training.stage import Part, Stage
from ..training.stages import FixedSet, QualityStage, SegmenterStage
from .case import Case, Check, Contender, Work, Wrong, need
from .published_way import Corrupted, Labelled, PhaseOne, PhaseTwo, Pool

PHASES = {"quality": "phase 1", "pseudo_label+quality": "phase 2, PL-QW", "supervised+regularizer": "phase 2, QAR"}
PUBLISHED = ("quality", "pseudo_label+quality")
"""Phases that are written in the usual way too."""


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

    def weak_models(self) -> list[Segmenter]:
        c, side = self.config.weak, self.side
        size = (side, side)
        models = [Segmenter(c.network, image_size=size, options=c.options) for _ in c.snapshots]
        return [model.to(self.config.device) for model in models]

    def samples(self, phase: str) -> int:
        """Images in a step."""
        c = self.config
        return c.quality.batch if phase == "quality" else c.segmenter.labelled_batch + c.segmenter.unlabelled_batch

    def stage(self, phase: str) -> Stage:
        if phase == "quality":
            recipe = load_recipe(self.config.quality.recipe)
            fixed = FixedSet.draw(self.stores["val"], self.banks["val"], recipe, 2, 0)
            train = self.stores["train"], self.banks["train"]
            return QualityStage(self.config.quality, self.predictor(), *train, fixed, recipe, 0)
        name, guided = phase.split("+")
        method, guide = make_pair(name, guided, self.predictor(), self.config.segmenter)
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


def timing_corruption(stage: Stage) -> list[float]:
    """Has the seconds of each call of the stage's corruptor appended from now on."""
    spent: list[float] = []
    corruptor = stage.corruptor  # type: ignore[attr-defined]

    def timed(*arguments: Any, **options: Any) -> Any:
        began = time.perf_counter()
        out = corruptor(*arguments, **options)
        spent.append(time.perf_counter() - began)
        return out

    stage.corruptor = timed  # type: ignore[attr-defined]
    return spent


def usual_way(setting: Setting, phase: str, cv2: Any) -> PhaseOne | PhaseTwo:
    splits, side, c = setting.dataset.splits, setting.side, setting.config
    if phase == "quality":
        data = Corrupted(splits["train"], side, cv2, load_recipe("paper"), setting.weak_models())
        return PhaseOne(setting.predictor(), data, c.quality.batch, c.quality.lr)
    sets = Labelled(splits["train"], side, cv2), Pool(splits["unlabeled"], side, cv2)
    batches = c.segmenter.labelled_batch, c.segmenter.unlabelled_batch
    return PhaseTwo(setting.segmenter(), setting.predictor(), *sets, batches, c.segmenter.lr)


def measure(setting: Setting, phase: str, rounds: int, usual: bool) -> dict[str, Any]:
    engine, stage = Engine(setting.config), setting.stage(phase)
    engine.prepare(stage)
    steps = {"whole": whole_step(stage, engine), "networks": networks_alone(stage, engine)}
    if usual and phase in PUBLISHED:
        steps["usual"] = usual_way(setting, phase, need("cv2")).step
    spent = timing_corruption(stage) if phase == "quality" else []
    all_rounds = in_turns(steps, rounds)
    took = {name: values[len(values) // 5] for name, values in all_rounds.items()}
    found: dict[str, Any] = {f"{name}_ms": round(1e3 * value, 2) for name, value in took.items()}
    found |= {f"{name}_median_ms": round(1e3 * statistics.median(values), 2) for name, values in all_rounds.items()}
    found["overhead"] = round(took["whole"] / took["networks"] - 1, 4)
    found["samples"] = setting.samples(phase)
    found["outside"] = round(max(1 - took["networks"] / took["whole"], 0), 4)
    if "usual" in took:
        found["times_usual"] = round(took["usual"] / took["whole"], 2)
        found["usual_outside"] = round(max(1 - took["networks"] / took["usual"], 0), 4)
    if spent:
        found["corruption_share"] = round(statistics.median(spent) / statistics.median(all_rounds["whole"]), 5)
    engine.release()
    return found


@functools.cache
def on_phantoms(preset: str) -> tuple[Setting, tempfile.TemporaryDirectory[str]]:
    """A setting, and the folder of its files, which is removed when the process ends."""
    folder = tempfile.TemporaryDirectory()
    return Setting(preset, Path(folder.name)), folder


def _finite(*networks: torch.nn.Module) -> Check:
    def check(got: Any) -> None:
        if not all(bool(torch.isfinite(weights).all()) for network in networks for weights in network.parameters()):
            raise Wrong("weights are not finite after some steps")

    return check


def _ours(preset: str, phase: str, alone: bool) -> Work:
    setting, _ = on_phantoms(preset)
    engine, stage = Engine(setting.config), setting.stage(phase)
    engine.prepare(stage)
    step = networks_alone(stage, engine) if alone else whole_step(stage, engine)
    return Work(step, setting.samples(phase), _finite(*stage.networks.values()))


def _published(preset: str, phase: str) -> Work:
    setting, _ = on_phantoms(preset)
    way = usual_way(setting, phase, need("cv2"))
    return Work(way.step, setting.samples(phase), _finite(way.model))


def case(name: str, phase: str, preset: str = "cpu") -> Case:
    """A step's images; the limit is the step's networks alone."""
    contenders = [Contender("qgssl_fast", "ours", functools.partial(_ours, preset, phase, False))]
    if phase in PUBLISHED:
        contenders.append(Contender("published way", "peer", functools.partial(_published, preset, phase)))
    contenders.append(Contender("networks", "limit", functools.partial(_ours, preset, phase, True)))
    return Case(name, "steps", f"a step of {PHASES[phase]}, preset {preset}", "images", 0, tuple(contenders))


CASES = tuple(case(name, phase) for name, phase in zip(("step_phase1", "step_pl_qw", "step_qar"), PHASES))
