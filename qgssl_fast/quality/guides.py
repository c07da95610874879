"""Guides by name; "quality+regularizer" is both at once."""

from __future__ import annotations

from typing import Any

from ..errors import InputError, unknown
from ..networks.options import arguments_of, check_options
from .confidence import ConfidenceGuide, ThresholdGuide, UncertaintyGuide
from .guide import Combined, Guide
from .judged import CorrectionGuide, PredictorGuide, QualityGuide, QualityMapGuide, QualityRegularizer
from .predictor import QualityPredictor

GUIDES: dict[str, tuple[type[Guide], str]] = {
    "none": (Guide, "every sample and pixel counts 1"),
    "threshold": (ThresholdGuide, "pixels of confidence >= 0.9"),
    "confidence": (ConfidenceGuide, "samples weighted by mean confidence, c^2 [c >= 0.9]"),
    "uncertainty": (UncertaintyGuide, "pixels of low entropy under dropout (Yu et al. 2019)"),
    "quality": (QualityGuide, "samples weighted by predicted quality, q^T [q >= tau]"),
    "quality_map": (QualityMapGuide, "pixels weighted by predicted correctness, max(0, 1 - 2e)"),
    "correction": (CorrectionGuide, "pixels that are predicted wrong change label; weight |2e - 1|"),
    "regularizer": (QualityRegularizer, "1 - predicted quality of the student's soft masks as a loss"),
}


def list_guides() -> dict[str, str]:
    """Every guide name with a line about it."""
    return {name: doc for name, (_, doc) in GUIDES.items()}


def split_guides(name: str) -> list[str]:
    """The parts of "quality+regularizer"; InputError for one that is not there, listing those that are."""
    parts = name.split("+")
    for part in parts:
        if part not in GUIDES:
            raise unknown("guide", part, GUIDES)
    return parts


def make_guide(name: str, predictor: QualityPredictor | None = None, **options: Any) -> Guide:
    """Build a guide by name; guides that judge by a predictor need one, the others do not look at it.

    options: those of the one guide, or, of guides joined by "+", a dict for each name.
    Raises InputError for an unknown name or option, a missing predictor, guides that cannot be joined.
    """
    parts = split_guides(name)
    if len(parts) == 1:
        return _make(name, predictor, options)
    for part in options:
        if part not in parts:
            raise InputError(f"guide {name}: options go by guide ({', '.join(parts)}), got {part!r}")
    return Combined([_make(part, predictor, options.get(part, {})) for part in parts])


def _make(name: str, predictor: QualityPredictor | None, options: dict[str, Any]) -> Guide:
    cls: Any = GUIDES[name][0]
    if cls is Guide:
        check_options(f"guide {name}", options, [])
        return cls()
    check_options(f"guide {name}", options, arguments_of(cls, ["predictor"]))
    return cls(predictor, **options) if issubclass(cls, PredictorGuide) else cls(**options)
