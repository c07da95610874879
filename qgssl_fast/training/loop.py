"""The one training loop: every stage and every method runs in it."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from . import checkpoint, faults
from .engine import Engine
from .interrupt import Agreement, Interrupt
from .logging import Log, Meter
from .stage import Stage


@dataclass
class State:
    """All that a checkpoint holds beside tensors."""

    best: float
    best_epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    meter: dict[str, tuple[float, int]] = field(default_factory=dict)
    scaler: dict[str, Any] = field(default_factory=dict)

    def finished(self, stage: Stage) -> bool:
        """After the last step, or after `patience` epochs without a better score."""
        epoch, rest = divmod(self.step, stage.steps_per_epoch)
        waited = epoch - max(self.best_epoch, stage.patience_from)
        return epoch >= stage.epochs or (rest == 0 and 0 < stage.patience <= waited)


def fit(stage: Stage, engine: Engine, folder: Path, log: Log) -> State:
    """Train `stage`, writing `best`, `last` and checkpoints into `folder`; a checkpoint found there is resumed.

    After the first Ctrl-C the step is finished and saved, then KeyboardInterrupt is raised. Raises InputError where a
    loss or gradient is not finite (the last good checkpoint stays) and where the memory does not do.
    """
    engine.prepare(stage)
    state = State(-math.inf if stage.higher_is_better else math.inf)
    found, said = checkpoint.load_newest(folder, stage.modules(), stage.optimizer)
    for text in said:
        log.say(text)
    if found is not None:
        state = State(**found)
        engine.load_scaler(state.scaler)
        log.say(f"{stage.name}: goes on after step {state.step} of {stage.epochs * stage.steps_per_epoch}")
    agreement = Agreement(stage.name, engine.device.type == "cuda")
    meter, began, saved = Meter(state.meter), time.perf_counter() - state.seconds, time.perf_counter()

    def save() -> None:
        state.seconds, state.meter, state.scaler = time.perf_counter() - began, meter.state(), engine.scaler_state()
        if engine.main:
            checkpoint.save(folder, stage.modules(), stage.optimizer, asdict(state))

    with (
        log.stage(stage.name, state.step),
        log.progress(stage.name, stage.epochs * stage.steps_per_epoch, state.step) as advance,
        Interrupt() as interrupt,
        faults.told(stage),
    ):
        while not state.finished(stage):
            meter.add(state.step, engine.take_step(state.step))
            state.step += 1
            advance()
            epoch, rest = divmod(state.step, stage.steps_per_epoch)
            if not agreement.stops(state.step, interrupt.asked) and rest and rest % engine.look_every:
                continue
            meter.look()
            if rest == 0:
                stage.after_epoch(epoch)
                row: dict[str, Any] = {"stage": stage.name, "step": state.step, "epoch": epoch}
                row |= {"lr": stage.learning_rate(state.step - 1), **meter.means()}
                if epoch % stage.validate_every == 0 or epoch == stage.epochs:
                    row |= engine.validate(stage)
                    value = row[stage.score]
                    if value > state.best if stage.higher_is_better else value < state.best:
                        state.best, state.best_epoch = value, epoch
                        if engine.main:
                            stage.save(folder / "best.safetensors")
                    advance(0, f"{stage.score} {value:.3f}, best {state.best:.3f}")
                for text in stage.told():
                    log.say(f"{stage.name}, epoch {epoch}: {text}")
                log.write(row)
            stop = engine.any_rank(interrupt.asked)
            if stop or time.perf_counter() - saved >= engine.checkpoint_seconds:
                save()
                saved = time.perf_counter()
            if stop:
                log.say(f"{stage.name}: stopped and saved after step {state.step}")
                engine.stop()
        if engine.any_rank(interrupt.asked):
            save()
            engine.stop()
    state.seconds = time.perf_counter() - began
    if engine.main:
        stage.save(folder / "last.safetensors")
    engine.release()
    return state
