"""Options that come from a configuration file: checked against a constructor, made what the constructor wants."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable
from typing import Any

from ..errors import InputError, unknown


def check_options(owner: str, options: dict[str, Any], known: Iterable[str]) -> None:
    """Raise InputError with the nearest right name for the first option that is none of `known`."""
    for name in options:
        if name not in set(known):
            raise unknown(f"{owner}: option", name, known)


def plain(owner: str, options: dict[str, Any]) -> dict[str, Any]:
    """A deep copy that a JSON file gives back as it is; InputError where an option is no plain value."""
    try:
        return json.loads(json.dumps(options))
    except (TypeError, ValueError) as error:
        raise InputError(f"{owner}: options must be plain values (numbers, text, lists): {error}") from None


def tuples(value: Any) -> Any:
    """Lists as tuples at every depth, since files know lists only and MONAI asks for tuples (("group", {...}))."""
    if isinstance(value, (list, tuple)):
        return tuple(tuples(item) for item in value)
    if isinstance(value, dict):
        return {key: tuples(item) for key, item in value.items()}
    return value


def arguments_of(constructor: Callable[..., Any], reserved: Iterable[str]) -> list[str]:
    """The names a constructor takes, without `reserved` (those that are settled elsewhere)."""
    names = inspect.signature(constructor).parameters
    return [name for name in names if name not in {"self", "args", "kwargs", *reserved}]


def construct(owner: str, constructor: Callable[..., Any], /, **arguments: Any) -> Any:
    """Call it; what it says about a wrong value becomes an InputError that names `owner`."""
    try:
        return constructor(**arguments)
    except (TypeError, ValueError, LookupError, AttributeError, AssertionError, RuntimeError) as error:
        raise InputError(f"{owner}: {type(error).__name__}: {error}") from error
