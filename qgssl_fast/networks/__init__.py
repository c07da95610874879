"""Segmentation networks by name, wrapped so that a file of weights knows all that is needed to use it."""

from .registry import build_network, list_networks
from .segmenter import Segmenter
from .weights import load_module, save_module

__all__ = ["Segmenter", "build_network", "list_networks", "load_module", "save_module"]
