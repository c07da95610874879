"""Segmentation networks by name, wrapped so that a file of weights knows all that is needed to use it."""

from .ensemble import Ensemble
from .outputs import confidence, entropy, hard_labels, probabilities
from .registry import build_network, list_networks
from .segmenter import Segmenter
from .weights import load_module, save_module

__all__ = [
    "Ensemble",
    "Segmenter",
    "build_network",
    "confidence",
    "entropy",
    "hard_labels",
    "list_networks",
    "load_module",
    "probabilities",
    "save_module",
]
