"""How a step is computed: device, ranks, precision, memory format, compilation, CUDA graphs."""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import torch
import torch.distributed as dist
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType, DynamoBackend, broadcast_object_list, gather_object
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..errors import InputError, ToldElsewhere
from ..ops import losses
from . import spans
from .config import Config
from .graphs import Graphs
from .ranks import as_one, mean_over_ranks
from .schedule import stable_seed
from .settings import flatten, to_dict
from .stage import Batch, Part, Stage

Result = TypeVar("Result")


class Engine:
    """One per run: accelerate's Accelerator and the options of a step.

    Raises InputError for a device, a precision or an option that this machine has not, and where ranks disagree.
    """

    def __init__(self, config: Config) -> None:
        cpu = config.device == "cpu" or not torch.cuda.is_available()
        _check_device(config)
        self.notes: list[str] = []
        precision = config.precision
        if cpu and precision != "no":
            self.notes.append(f"precision: {precision} is used on GPUs only; this run is in float32")
            precision = "no"
        # Each forward would send the first rank's buffers to the others; they are equal already.
        ddp = DistributedDataParallelKwargs(broadcast_buffers=False, gradient_as_bucket_view=True)
        if AcceleratorState._shared_state:  # a run before in this process, perhaps of another precision
            AcceleratorState._reset_state(reset_partial_state=not dist.is_initialized())
        self.accelerator = Accelerator(cpu=cpu, mixed_precision=precision, kwargs_handlers=[ddp])
        _check_launch(self.accelerator)
        self.device = self.accelerator.device
        self.ranks, self.rank = self.accelerator.num_processes, self.accelerator.process_index
        self.main = self.accelerator.is_main_process
        self.accumulate, self.compile = config.accumulate, config.compile
        self.look_every, self.checkpoint_seconds = config.look_every, config.checkpoint_seconds
        self.profile_folder: Path | None = None
        self.memory_format = torch.channels_last if len(config.images.size) == 2 else torch.channels_last_3d
        self.channels_last, self.graphs = config.channels_last, Graphs() if config.cuda_graphs else None
        if self.graphs is not None and self.ranks > 1:
            raise InputError(f"cuda_graphs: wanted one rank, there are {self.ranks}")
        self._position = [Part()]
        self._agree(config)

    @property
    def parts(self) -> list[Part]:
        """The parts of a step that this rank computes, one after the other."""
        count = self.ranks * self.accumulate
        return [Part(self.rank * self.accumulate + k, count, self.accumulate) for k in range(self.accumulate)]

    @property
    def command(self) -> str:
        """How such a run is started."""
        return "qgssl-fast" if self.ranks == 1 else f"torchrun --nproc-per-node {self.ranks} -m qgssl_fast"

    def _agree(self, config: Config) -> None:
        if self.ranks == 1:
            return
        found = gather_object([flatten(to_dict(config))])
        odd = [key for key in found[0] if any(other.get(key) != found[0][key] for other in found)]
        if odd:
            lines = "\n".join(f"  - {key}: {', '.join(repr(other.get(key)) for other in found)}" for key in odd)
            raise self._once_told(InputError(f"ranks disagree on their settings, by rank:\n{lines}"))

    def _once_told(self, error: InputError) -> InputError:
        return error if self.main else ToldElsewhere(str(error))

    def first(self, work: Callable[[], Result]) -> Result:
        """`work` done by the first rank, its result (or its InputError) given to all."""
        if self.ranks == 1:
            return work()
        told: list[Any] = [None, None]
        if self.main:
            try:
                told[0] = work()
            except InputError as error:
                told[1] = str(error)
                broadcast_object_list(told)
                raise
        broadcast_object_list(told)
        if told[1] is not None:
            raise ToldElsewhere(told[1])
        return told[0]

    def in_turn(self, work: Callable[[], Result]) -> Result:
        """`work` done by all ranks, by the first one before the others; its InputError reaches all."""
        done: list[Result] = []
        self.first(lambda: done.append(work()))
        return done[0] if done else work()

    def check_batches(self, batches: dict[str, int], images: int) -> None:
        """Raise InputError where a step cannot be shared out evenly; batches: sizes by setting."""
        parts = self.ranks * self.accumulate
        if self.ranks > images:
            raise self._once_told(InputError(f"{self.ranks} ranks, but {images} labelled training images: use fewer"))
        odd = [f"{key} is {size}" for key, size in batches.items() if size % parts]
        if odd:
            by = f"{self.ranks} ranks x accumulate {self.accumulate}"
            raise self._once_told(InputError(f"batches must be multiples of {parts} ({by}): {', '.join(odd)}"))

    def prepare(self, stage: Stage) -> None:
        """Make `stage.trained` and wrap its optimiser."""
        for module in (*stage.modules().values(), *stage.helpers()):
            module.to(self.device)
            if self.channels_last:
                module.to(memory_format=self.memory_format)  # type: ignore[call-overload]
            if module not in stage.networks.values():
                # Autocast is a matter of each network: augmentation and losses are computed in float32.
                self.accelerator.prepare_model(module, evaluation_mode=True)
        if self.parts[0].count > 1:
            for network in stage.networks.values():
                as_one(network, self._position, self.device)
        if self.ranks > 1:
            losses.over_ranks(mean_over_ranks)  # of sum(w) in sum(w l) / sum(w)
            for network in stage.networks.values():
                # DDP would wait for gradients that never come, of U-Net++'s coarse outputs for instance.
                DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(
                    network, _never_used(stage, network)
                )
        with warnings.catch_warnings():  # what is to come in place of broadcast_buffers still sends them at first
            warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
            prepared = self.accelerator.prepare(*stage.networks.values(), stage.optimizer)
        stage.optimizer = prepared[-1]
        networks: list[Any] = [torch.compile(network) if self.compile else network for network in prepared[:-1]]
        stage.trained = dict(zip(stage.networks, networks))
        for network in networks:
            network.train()
        self._take_step: Callable[[int], dict[str, Tensor]] = functools.partial(self._plain_step, stage)
        if self.graphs is not None:
            self._take_step = self.graphs.whole_step(self, stage)
        if self.profile_folder is not None and self.main:
            self._take_step = self._profiled(stage, self.profile_folder)

    def _profiled(self, stage: Stage, folder: Path) -> spans.Profile:
        total, wanted = stage.epochs * stage.steps_per_epoch, spans.TIMED + spans.TRACED + 1
        start = max(0, min(stage.patience_from * stage.steps_per_epoch + 3, total - wanted))
        watched = [*stage.modules().values(), *stage.helpers()]  # forward passes go through these, wrapped or not
        cuda = self.device.type == "cuda"
        return spans.Profile(self._take_step, watched, start, folder, stage.name, cuda)

    def release(self) -> None:
        """After a stage: forget its networks, so that the next one's clipping does not look at them."""
        losses.over_ranks(None)
        if isinstance(self._take_step, spans.Profile):
            self._take_step.close()
        self.accelerator.wait_for_everyone()
        self.accelerator.free_memory()

    def close(self) -> None:
        if dist.is_initialized():
            dist.destroy_process_group()

    def begin_part(self, stage: Stage, step: int, part: Part) -> None:
        """Dropout is a function of the step, so that resuming repeats it; it is the same for all methods."""
        self._position[0] = part
        torch.manual_seed(stable_seed(stage.seed, "step", step))

    def take_step(self, step: int) -> dict[str, Tensor]:
        """One step of the optimiser; gives 0-dim tensors to log, on the device."""
        return self._take_step(step)

    def _plain_step(self, stage: Stage, step: int) -> dict[str, Tensor]:
        rate = stage.learning_rate(step)
        for group in stage.optimizer.param_groups:
            group["lr"] = rate
        found = []
        for part in self.parts:
            with spans.span("data"):
                batch = stage.draw(step, part)
            self.begin_part(stage, step, part)
            with self._reduction(stage, part):
                found.append(self._gradients(stage, batch))
        values = found[0] if len(found) == 1 else {k: torch.stack([f[k] for f in found]).mean(0) for k in found[0]}
        with spans.span("optimiser"):
            values |= self._update(stage)
            stage.after_step(step)
        return values

    def compute(self, stage: Stage, batch: Batch) -> dict[str, Tensor]:
        """Gradients and the optimiser's step of a batch that is not parted: what a CUDA graph holds."""
        return self._gradients(stage, batch) | self._update(stage)

    def _reduction(self, stage: Stage, part: Part) -> contextlib.ExitStack:
        """Ranks exchange gradients with a step's last part only."""
        stack = contextlib.ExitStack()
        if self.ranks > 1 and part != self.parts[-1]:
            for network in stage.trained.values():
                stack.enter_context(self.accelerator.no_sync(network))
        return stack

    def _gradients(self, stage: Stage, batch: Batch) -> dict[str, Tensor]:
        loss, values = stage.loss(batch)
        with spans.span("networks"):
            self.accelerator.backward(loss / self.accumulate)
        return {**values, "loss": loss.detach()}  # the sum comes last: of values that are not finite the first is told

    def _update(self, stage: Stage) -> dict[str, Tensor]:
        values = {}
        if stage.clip:
            self.accelerator.unscale_gradients()  # once, before any group is clipped
            norms = [nn.utils.clip_grad_norm_(group, stage.clip) for group in stage.clip_groups()]
            if self.accelerator.scaler is None:  # with fp16 it is infinite now and then, and the step is left out
                values["gradient"] = norms[0] if len(norms) == 1 else torch.stack(norms).amax()
        stage.optimizer.step()
        stage.optimizer.zero_grad()
        return values

    @torch.no_grad()
    def validate(self, stage: Stage) -> dict[str, float]:
        """The stage's figures, its networks in eval mode; the same on every rank."""
        for network in stage.trained.values():
            network.eval()
        found = stage.validate()
        for network in stage.trained.values():
            network.train()
        return found

    def any_rank(self, flag: bool) -> bool:
        """Whether `flag` is set on any rank."""
        if self.ranks == 1:
            return flag
        return bool(mean_over_ranks(torch.full((), float(flag), device=self.device)))  # sync

    def stop(self) -> NoReturn:
        """Raise KeyboardInterrupt on all ranks together: a launcher ends those that are left when one is gone."""
        self.accelerator.wait_for_everyone()
        raise KeyboardInterrupt

    def scaler_state(self) -> dict[str, Any]:
        """The gradient scaler's numbers of fp16; empty otherwise."""
        return self.accelerator.scaler.state_dict() if self.accelerator.scaler is not None else {}

    def load_scaler(self, state: dict[str, Any]) -> None:
        if self.accelerator.scaler is not None and state:
            self.accelerator.scaler.load_state_dict(state)


def _never_used(stage: Stage, network: nn.Module) -> list[str]:
    """Names of parameters that get no gradient in a step where every lambda has its last value."""
    last = stage.epochs * stage.steps_per_epoch - 1
    buffers = {name: value.clone() for name, value in network.named_buffers()}
    loss, _ = stage.loss(stage.draw(min(last, stage.patience_from * stage.steps_per_epoch), Part()))
    loss.backward()
    unused = [name for name, parameter in network.named_parameters() if parameter.grad is None]
    network.zero_grad()
    with torch.no_grad():
        for name, value in network.named_buffers():
            value.copy_(buffers[name])
    return unused


def _check_launch(accelerator: Accelerator) -> None:
    """Raise InputError where `accelerate launch` was given what would change the training without a word."""
    kind = accelerator.distributed_type
    if kind not in (DistributedType.NO, DistributedType.MULTI_GPU, DistributedType.MULTI_CPU):
        raise InputError(f"accelerate launch: wanted one process or several by DDP, got {kind.value}")
    if (parts := accelerator.gradient_accumulation_steps) != 1:
        raise InputError(f"accelerate launch: use --accumulate {parts}, not --gradient_accumulation_steps")
    if accelerator.state.dynamo_plugin.backend != DynamoBackend.NO:
        raise InputError("accelerate launch: use --compile true, not --dynamo_backend")


def _check_device(config: Config) -> None:
    """Raise InputError where the device, or an option that wants one, cannot be had here."""
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if config.device.startswith("cuda"):
        if not there:
            raise InputError(f"device: wanted {config.device}, but torch {torch.__version__} sees no CUDA device")
        number = config.device.partition(":")[2]
        if number and int(number) >= there:
            raise InputError(f"device: wanted {config.device}, there are {there} CUDA devices")
        torch.cuda.set_device(int(number or 0))
    if config.cuda_graphs:
        if config.device == "cpu" or not there:
            raise InputError("cuda_graphs: wanted a CUDA device, this run is on the CPU")
        foes = {"accumulate": config.accumulate > 1, "fp16": config.precision == "fp16", "profile": config.profile}
        if any(foes.values()):
            raise InputError(f"cuda_graphs: not together with {', '.join(key for key, bad in foes.items() if bad)}")
