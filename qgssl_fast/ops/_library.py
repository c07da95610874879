"""One torch.library for all operations: schema, kernel, fake."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_library = torch.library.Library("qgssl_fast", "FRAGMENT")


def define(schema: str, function: Callable[..., Any], fake: Callable[..., Any]) -> Callable[..., Any]:
    """Define ``qgssl_fast::<schema>``, served by `function` on every device; returns the operator.

    `fake` gives outputs of the right shape, dtype and device. The schema must say which arguments are changed (none).
    """
    name = schema.split("(", 1)[0]
    _library.define(schema)
    _library.impl(name, function, "CompositeExplicitAutograd")
    torch.library.register_fake(f"qgssl_fast::{name}", fake, lib=_library)
    operator: Callable[..., Any] = getattr(torch.ops.qgssl_fast, name).default
    return operator


def direct(tensor: Tensor) -> bool:
    """Whether the kernel may be called without the dispatcher, which costs more than a small mask does."""
    return type(tensor) is Tensor and not torch.compiler.is_compiling()


def differentiable(name: str, backward: Callable[..., Any], setup_context: Callable[..., Any]) -> None:
    """Give the defined operator `name` a gradient: ``backward(ctx, *grads)`` of what ``setup_context`` keeps."""
    torch.library.register_autograd(f"qgssl_fast::{name}", backward, setup_context=setup_context, lib=_library)
