"""The three stages of the method, each a :class:`~qgssl_fast.training.loop.Stage`."""

from .quality import FixedSet, QualityStage
from .segmenter import SegmenterStage
from .weak import WeakStage

__all__ = ["FixedSet", "QualityStage", "SegmenterStage", "WeakStage"]
