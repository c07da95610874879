"""A method with its guide, as the settings want them; what cannot work is refused before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import InputError, unknown
from ..methods import METHODS, Method, make_method
from ..quality.guide import Guide
from ..quality.guides import GUIDES, make_guide, split_guides
from ..quality.predictor import QualityPredictor
from .config import SegmenterConfig


def make_pair(
    method_name: str, guide_name: str, predictor: QualityPredictor | None, config: SegmenterConfig
) -> tuple[Method, Guide]:
    """Build both with the options of `config`; InputError, with the reason, where they make no sense together."""
    for key, options, known in (("method", config.method, METHODS), ("guide", config.guide, GUIDES)):
        for name, values in options.items():
            if name not in known:
                raise unknown(f"segmenter.{key}", name, known)
            if not isinstance(values, dict):
                raise InputError(f"segmenter.{key}: wanted {{{name}: {{option: value}}}}, got {{{name}: {values!r}}}")
    method = make_method(method_name, **config.method.get(method_name, {}))
    parts = split_guides(guide_name)
    options = {part: config.guide[part] for part in parts if part in config.guide}
    guide = make_guide(guide_name, predictor, **(options.get(guide_name, {}) if len(parts) == 1 else options))
    method.check(guide)
    if method.needs_teacher and config.ema == 0:
        raise InputError(f"{method_name} needs a teacher, the student's moving average; segmenter.ema is 0 (off)")
    return method, guide


def check_pool(wanting: Sequence[str], pool: int, batch: int, root: str) -> None:
    """Raise InputError where `pool` unlabelled images are fewer than the methods `wanting` take in a step."""
    names = ", ".join(wanting)
    if wanting and not pool:
        raise InputError(f"methods: {names} need unlabelled images, {root} has none; use --method SUP")
    if wanting and pool < batch:
        raise InputError(
            f"segmenter.unlabelled_batch: {names} take {batch} unlabelled images a step, {root} has {pool}; "
            f"lower it to {pool} or less"
        )
