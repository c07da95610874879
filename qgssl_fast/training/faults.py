"""What goes wrong in the middle of training, in the user's terms."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ..errors import InputError
from .logging import NotFinite
from .stage import Part, Stage

PLACES = (
    ("ops/augment", "augmentation"), ("reference/augment", "augmentation"), ("corrupt", "corruption"),
    ("losses", "losses"), ("torch/optim", "optimiser"), ("autograd", "backward pass"),
    ("quality/predictor", "quality predictor"), ("networks/", "networks"), ("data/store", "data"),
)  # fmt: skip
"""Where a file of a traceback says in what part of a step it happened."""


@contextmanager
def told(stage: Stage) -> Iterator[None]:
    """Turn what a step of `stage` may raise into an InputError that says where, on which samples, and what to do."""
    try:
        yield
    except NotFinite as found:
        epoch = found.step // stage.steps_per_epoch + 1
        samples = stage.describe(stage.draw(found.step, Part()))
        raise InputError(
            f"{stage.name}: {found.key} is not finite at step {found.step} (epoch {epoch}), samples: {samples}; "
            f"the last checkpoint is from before it; lower the learning rate ({stage.learning_rate(found.step):.3g} "
            "here) or use precision=no, in another run folder"
        ) from None
    except (torch.OutOfMemoryError, RuntimeError) as error:
        wanted = re.search(r"[Tt]ried to allocate ([\d.]+ ?\w+)", str(error))
        if not isinstance(error, torch.OutOfMemoryError) and "DefaultCPUAllocator" not in str(error):
            raise
        how_much = f", {wanted[1]} more were wanted" if wanted else ""
        raise InputError(
            f"{stage.name}: out of memory in {place(error)}{how_much}{_held()}; lower {stage.memory_settings} or "
            "images.size, raise accumulate, or use precision=bf16"
        ) from None


def place(error: BaseException) -> str:
    """The part of a step that an error comes from."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        for part, name in PLACES:
            if part in frame.filename:
                return name
    return "the step"


def _held() -> str:
    if not torch.cuda.is_available():
        return ""
    free, total = torch.cuda.mem_get_info()
    return f" ({(total - free) / 2**30:.1f} of {total / 2**30:.1f} GiB are taken)"
