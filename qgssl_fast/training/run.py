"""A whole run: data, weak models, quality predictor, segmenters, report."""

from __future__ import annotations

import contextlib
import math
import shlex
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from ..corruption import MaskBank
from ..methods import resolve_name
from ..networks import Segmenter
from ..quality.predictor import QualityPredictor
from ..recipes import Recipe, load_recipe
from ..reporting.report import write_report
from . import checkpoint, results
from .assemble import assemble
from .config import Config
from .crossfit import train_weak
from .engine import Engine
from .estimate import estimate_seconds
from .folder import choose, open_run, read_json, removed_if_refused, write_json
from .inputs import load_inputs
from .judging import calibrate, new_predictor, softened
from .logging import Log, check_trackers
from .loop import State, fit
from .pairs import check_pool, make_pair
from .record import environment, write_record
from .schedule import stable_seed
from .settings import check
from .stage import Stage
from .stages import FixedSet, QualityStage
from .volumes import judge_volumes


def run(config: Config, console: Console | None = None, command: str = "") -> Path:
    """Train everything that `config` asks for and write the report; returns the run folder.

    Stages that are done are skipped, a stage that was cut goes on where it was. Raises InputError for settings,
    data and folders that cannot be used, before anything is trained. Under torchrun every rank calls this.
    """
    began = time.perf_counter()
    check(config)
    check_trackers(config.trackers)
    methods = {label: resolve_name(label) for label in config.methods}
    load_recipe(config.quality.recipe)
    if config.threads:
        torch.set_num_threads(config.threads)
    engine = Engine(config)
    folder = engine.first(lambda: choose(config))
    with contextlib.ExitStack() as held:
        held.callback(engine.close)
        if engine.main:
            held.enter_context(removed_if_refused(folder))

        def take() -> None:
            held.enter_context(open_run(folder, config))

        engine.first(take)
        log = Log(folder, console, config.trackers, engine.main)
        try:
            Run(config, folder, log, methods, engine, command, began).everything()
        except KeyboardInterrupt:
            log.say(f"\nstopped; go on with: {engine.command} train --out {shlex.quote(str(folder))}")
            raise
    return folder


class Run:
    """The stages of one run, in order."""

    def __init__(
        self,
        config: Config,
        folder: Path,
        log: Log,
        methods: dict[str, tuple[str, str]],
        engine: Engine,
        command: str,
        began: float,
    ) -> None:
        self.config, self.folder, self.log, self.methods = config, folder, log, methods
        self.engine, self.command, self.began = engine, command, began
        for note in engine.notes:
            log.say(note)
        if config.profile:
            engine.profile_folder = folder / "profile"

    def everything(self) -> None:
        c, engine = self.config, self.engine
        self.inputs = engine.in_turn(lambda: load_inputs(c, self.folder, engine.device, self.log))
        self._introduce()
        record = (self.folder / "run.json", self.inputs.stores, engine.device, engine.ranks, c.seed, self.command)
        for change in engine.first(lambda: write_record(*record)):
            self.log.say(f"[dim]note: {change}[/dim]")
        self.banks = self._weak()
        self.predictor = self._quality()
        for label in self.methods:
            self._segmenter(label)
        self._finish()

    def _network(self, name: str, options: dict[str, Any], stage: str) -> Segmenter:
        torch.manual_seed(stable_seed(self.config.seed, stage, "initial"))
        i = self.inputs
        size = tuple(self.config.images.size)
        return Segmenter(name, len(size), i.channels, i.num_classes, size, i.mean, i.std, options).to(
            self.engine.device
        )

    def _new_predictor(self) -> QualityPredictor:
        torch.manual_seed(stable_seed(self.config.seed, "quality", "initial"))
        return new_predictor(self.config, self.inputs).to(self.engine.device)

    def _introduce(self) -> None:
        c, say, stores = self.config, self.log.say, self.inputs.stores
        for note in self.inputs.notes:
            say(f"[dim]note: {note}[/dim]")
        counts = ", ".join(f"{len(stores[split])} {split}" for split in ("train", "val", "test", "unlabeled"))
        what = f"{self.inputs.channels} channel(s), {self.inputs.num_classes} classes"
        say(f"{self.inputs.root}: {counts}; {'x'.join(map(str, c.images.size))} px, {what}")
        weak = self._network(c.weak.network, c.weak.options, "weak")
        segmenter = self._network(c.segmenter.network, c.segmenter.options, "segmenter")
        untrained, wanting = self._new_predictor(), []
        for label, (method_name, guide_name) in self.methods.items():  # what makes no sense is told before any training
            method, guide = make_pair(method_name, guide_name, untrained, c.segmenter)
            if method.wants_unlabelled(guide):
                wanting.append(label)
        check_pool(wanting, len(stores["unlabeled"]), c.segmenter.unlabelled_batch, self.inputs.root)
        labelled = len(stores["train"])
        batches = {"weak.batch (or the labelled images)": min(c.weak.batch, labelled), "quality.batch": c.quality.batch,
                   "segmenter.labelled_batch": c.segmenter.labelled_batch}  # fmt: skip
        if wanting:
            batches["segmenter.unlabelled_batch"] = c.segmenter.unlabelled_batch
        self.engine.check_batches(batches, labelled)
        seconds = estimate_seconds(c, self.inputs, len(wanting), weak, self._new_predictor(), segmenter)
        threads = f", {torch.get_num_threads()} threads" if self.engine.device.type == "cpu" else ""
        ranks = f", {self.engine.ranks} ranks" if self.engine.ranks > 1 else ""
        say(
            f"{self.engine.device}{threads}{ranks}; about {results.duration(seconds)} for everything; "
            f"run folder {self.folder}"
        )

    def _fit(self, stage: Stage) -> State:
        folder = self.folder / stage.name
        folder.mkdir(parents=True, exist_ok=True)
        fitted = fit(stage, self.engine, folder, self.log)
        better = "highest" if stage.higher_is_better else "lowest"
        self.log.say(
            f"{stage.name:<18} {fitted.step // stage.steps_per_epoch} epochs in {results.duration(fitted.seconds)}; "
            f"{better} {stage.score} {fitted.best:.3f} after epoch {fitted.best_epoch}"
        )
        return fitted

    def _once(self, name: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The figures of a finished stage, or those of `work`; metrics.json in its folder says that it is finished."""
        path = self.folder / name / "metrics.json"
        found = self.engine.first(lambda: read_json(path))
        if found is not None:
            self.log.say(f"{name}: done before, skipped")
        else:
            found = work()
        if self.engine.main:
            write_json(path, found)
            checkpoint.remove(path.parent)
        self.engine.accelerator.wait_for_everyone()
        return found

    def _weak(self) -> dict[str, MaskBank]:
        c, folder = self.config.weak, self.folder / "weak"

        def work() -> dict[str, Any]:
            def network() -> Segmenter:
                return self._network(c.network, c.options, "weak")

            return train_weak(c, self.inputs, self.folder, self.config.seed, network, self._fit, self.engine.main)

        self.weak_figures = self._once("weak", work)
        return {
            path.stem.removeprefix("bank-"): MaskBank.load(path).to(self.engine.device)
            for path in folder.glob("bank-*.safetensors")
        }

    def _recipe(self) -> Recipe:
        recipe = softened(load_recipe(self.config.quality.recipe), self.config.quality.soft, self.inputs.num_classes)
        return recipe if self.banks["train"].snapshots else recipe.replace(p_weak=0.0)

    def _quality_stage(self, predictor: QualityPredictor) -> QualityStage:
        data = (self.inputs.stores["train"], self.banks["train"], self.fixed["val"])
        return QualityStage(self.config.quality, predictor, *data, self._recipe(), self.config.seed)

    def _quality(self) -> QualityPredictor:
        c, stores, seed = self.config.quality, self.inputs.stores, self.config.seed
        counts = {"val": c.validation_corruptions, "test": c.test_corruptions}
        self.fixed = fixed = {
            split: FixedSet.draw(stores[split], self.banks[split], self._recipe(), n, stable_seed(seed, "fixed", split))
            for split, n in counts.items()
            if len(stores[split])
        }

        def work() -> dict[str, Any]:
            if c.file:
                (self.folder / "quality").mkdir(exist_ok=True)
                self._new_predictor().save(self.folder / "quality" / "best.safetensors")
            fitted = State(math.nan) if c.file else self._fit(self._quality_stage(self._new_predictor()))
            predictor = QualityPredictor.load(self.folder / "quality" / "best.safetensors").to(self.engine.device)
            if c.calibrate:
                calibrate(predictor, fixed["val"])
                if self.engine.main:
                    predictor.save(self.folder / "quality" / "best.safetensors")
            found = self.engine.first(lambda: results.judge_predictor(predictor, fixed, self.folder / "figures"))
            return found | {"val_mae_best": fitted.best, "best_epoch": fitted.best_epoch, "seconds": fitted.seconds}

        self.quality_figures = self._once("quality", work)
        return QualityPredictor.load(self.folder / "quality" / "best.safetensors").to(self.engine.device)

    def _segmenter(self, label: str) -> None:
        c = self.config.segmenter
        folder = self.folder / "segmenter" / label

        def work() -> dict[str, Any]:
            network = partial(self._network, c.network, c.options)
            given = (self.config, self.inputs, self.banks, self.predictor, network, self._quality_stage)
            stage, predictor, shown = assemble(label, self.methods[label], *given)
            for name, strength in shown.items():
                self.log.say(f"{label}: guide {name} acts with {strength} on weak masks of validation images")
            fitted = self._fit(stage)
            found: dict[str, Any] = {
                "val_dice_best": fitted.best,
                "best_epoch": fitted.best_epoch,
                "seconds": fitted.seconds,
            }
            if shown:
                found["gate"] = {name: vars(one) for name, one in shown.items()}
            if predictor is not self.predictor and self.engine.main:
                predictor.save(folder / "quality.safetensors")
            if len(self.inputs.stores["test"]):
                judge = results.judge_segmenter if self.inputs.stores["test"].plan is None else judge_volumes
                judged = (label, folder, self.inputs, predictor, self.folder / "figures")
                found |= self.engine.first(lambda: judge(*judged))
            return found

        self._once(f"segmenter/{label}", work)

    def _finish(self) -> None:
        stores = self.inputs.stores
        found = {label: read_json(self.folder / "segmenter" / label / "metrics.json") or {} for label in self.methods}
        outputs = {
            label: values.pop("quality_of_predictions")
            for label, values in found.items()
            if "quality_of_predictions" in values
        }
        metrics = {
            "data": {"root": self.inputs.root, **{split: len(store) for split, store in stores.items()},
                     "size": self.config.images.size, "notes": self.inputs.notes},
            "quality": self.quality_figures | ({"segmenter": results.mean_of(outputs)} if outputs else {}),
            "segmenter": found,
            "environment": environment(self.engine.device),
            "command": self.command, "seconds": time.perf_counter() - self.began, "seed": self.config.seed,
        }  # fmt: skip
        if not self.engine.main:
            return
        write_json(self.folder / "metrics.json", metrics)
        results.draw_comparison(self.folder, list(self.methods))
        report = write_report(self.folder)
        self._print(metrics, report)

    def _print(self, metrics: dict[str, Any], report: Path) -> None:
        quality = metrics["quality"].get("all")
        if quality:
            self.log.say(
                f"\nquality predictor on {quality['n']} fixed test masks: "
                f"MAE {quality['mae']:.3f}, Pearson {quality['pearson']:.3f}"
            )
        table = Table(title=f"test ({metrics['data']['test']} images), EMA network, epoch chosen on validation")
        unit = "px" if self.inputs.stores["test"].plan is None else "mm"
        for column in ("method", "Dice (best)", "± sd", "Dice (last)", "IoU", f"HD95 {unit}", "time"):
            table.add_column(column, justify="left" if column == "method" else "right")
        for label, values in metrics["segmenter"].items():
            if "best" in values:
                best, last = values["best"], values["last"]
                numbers = [
                    f"{best['dice']:.3f}",
                    f"{best['dice_sd']:.3f}",
                    f"{last['dice']:.3f}",
                    f"{best['iou']:.3f}",
                    f"{best['hd95']:.1f}",
                ]
                table.add_row(label, *numbers, results.duration(values["seconds"]))
        self.log.console.print(table)
        self.log.say(f"report: {report}   ({results.duration(metrics['seconds'])} in all)")
