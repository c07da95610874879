"""Methods: which loss an unlabelled batch gets. One small file each; the loop knows none of them by name."""

from .base import Losses, Method, Unlabelled, hard_labels
from .names import METHODS, PUBLISHED, list_methods, make_method, resolve_name

__all__ = [
    "METHODS",
    "PUBLISHED",
    "Losses",
    "Method",
    "Unlabelled",
    "hard_labels",
    "list_methods",
    "make_method",
    "resolve_name",
]
