"""Names of methods, and the fourteen published ones as method and guide."""

from __future__ import annotations

from typing import Any

from ..errors import InputError, unknown
from ..networks.options import arguments_of, check_options
from ..quality.guides import GUIDES, list_guides
from .base import Method
from .pseudo_label import PseudoLabel
from .supervised import Supervised

METHODS: dict[str, type[Method]] = {cls.name: cls for cls in (Supervised, PseudoLabel)}

PUBLISHED: dict[str, tuple[str, str]] = {
    "SUP": ("supervised", "none"),
    "PL-T": ("pseudo_label", "threshold"),
    "PL-C": ("pseudo_label", "confidence"),
    "PL-QW": ("pseudo_label", "quality"),
    "MT": ("mean_teacher", "none"),
    "UA-MT": ("mean_teacher", "uncertainty"),
    "MT-QW": ("mean_teacher", "quality"),
    "ICT": ("ict", "none"),
    "ICT-QW": ("ict", "quality"),
    "CPS": ("cps", "none"),
    "CPS-QW": ("cps", "quality"),
    "CL": ("contrastive", "threshold"),
    "CL-QW": ("contrastive", "quality"),
    "QAR": ("supervised", "regularizer"),
}
"""The published comparison (Abhishek and Hamarneh 2026): name -> (method, guide)."""


def list_methods() -> dict[str, str]:
    """Every method name with its source."""
    return {name: cls.source for name, cls in METHODS.items()}


def resolve_name(name: str) -> tuple[str, str]:
    """(method, guide) of a published name ("PL-QW"), of "method+guide", or of a method alone (guide none).

    Raises InputError for a name that is not there, and for a published one whose parts are not, saying which are.
    """
    if name in PUBLISHED:
        method, guide = PUBLISHED[name]
        if method in METHODS and guide in GUIDES:
            return method, guide
        raise InputError(f"method: {name} is not there yet; published names that are: {', '.join(available())}")
    method, _, guide = name.partition("+")
    if method not in METHODS:
        raise unknown("method", name, [*METHODS, *available()])
    if (guide or "none") not in GUIDES:
        raise unknown("guide", guide, list_guides())
    return method, guide or "none"


def available() -> list[str]:
    """The published names that can be trained."""
    return [name for name, (method, guide) in PUBLISHED.items() if method in METHODS and guide in GUIDES]


def make_method(name: str, **options: Any) -> Method:
    """Build a method by name or published name; InputError for an unknown name or option."""
    cls = METHODS[resolve_name(name)[0]]
    check_options(f"method {name}", options, arguments_of(cls, []))
    return cls(**options)
