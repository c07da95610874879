"""The quality predictor g, what is known about it, and the guides that make weights and gradients of its scores."""

from .calibration import expected_calibration_error, reliability
from .evaluate import evaluate_predictor
from .guide import Guide, Taught, Verdict
from .guides import list_guides, make_guide
from .judged import QualityGuide, QualityRegularizer
from .predictor import QualityPredictor, list_backbones

__all__ = [
    "Guide",
    "QualityGuide",
    "QualityPredictor",
    "QualityRegularizer",
    "Taught",
    "Verdict",
    "evaluate_predictor",
    "expected_calibration_error",
    "list_backbones",
    "list_guides",
    "make_guide",
    "reliability",
]
