"""Names of methods, and the fourteen published ones as method and guide."""

from __future__ import annotations

from typing import Any

from ..errors import unknown
from ..networks.options import arguments_of, check_options
from ..quality.guides import split_guides
from .base import Method
from .bcp import Bcp
from .contrastive import Contrastive
from .cps import Cps
from .fixmatch import FixMatch
from .ict import Ict
from .mean_teacher import MeanTeacher
from .pseudo_label import PseudoLabel
from .supervised import Supervised
from .unimatch import UniMatch

METHODS: dict[str, type[Method]] = {
    cls.name: cls for cls in (Supervised, PseudoLabel, MeanTeacher, Ict, Cps, Contrastive, FixMatch, UniMatch, Bcp)
}

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

    Guides may be joined: "pseudo_label+quality+regularizer". Raises InputError for a name that is not there.
    """
    if name in PUBLISHED:
        return PUBLISHED[name]
    method, _, guide = name.partition("+")
    if method not in METHODS:
        raise unknown("method", name, [*METHODS, *PUBLISHED])
    split_guides(guide or "none")
    return method, guide or "none"


def make_method(name: str, **options: Any) -> Method:
    """Build a method by name or published name; InputError for an unknown name, option or value."""
    cls = METHODS[resolve_name(name)[0]]
    check_options(f"method {name}", options, arguments_of(cls, []))
    return cls(**options)
