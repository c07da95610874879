"""Where the features of any segmentation network are: found by watching one pass, not by knowing the network."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import InputError

Call = tuple[str, int]
"""A module's name and which of its calls in one forward pass, from 0: activations are often shared."""


@dataclass(frozen=True)
class Taps:
    """encoder: the call that ends each resolution on the way down, finest first; head: the convolution that makes
    classes of features."""

    encoder: tuple[Call, ...]
    head: Call


def find_taps(network: nn.Module, run: Callable[[], Any], space: tuple[int, ...], out_channels: int) -> Taps:
    """Watch `run`, one pass of `network` over images of size `space`.

    A resolution of the encoder begins with an output smaller than any before it and ends where the size changes. The
    head is the last convolution from more channels to `out_channels`. Raises InputError where there is no such thing.
    """
    sizes: list[tuple[Call, tuple[int, ...]]] = []
    heads: list[Call] = []

    def see(call: Call, module: nn.Module, output: Tensor) -> Tensor:
        if isinstance(output, Tensor) and output.ndim == len(space) + 2:
            sizes.append((call, tuple(output.shape[2:])))
            if _maps_to(module, out_channels):
                heads.append(call)
        return output

    training = network.training
    network.eval()
    with torch.no_grad(), _watched(network, see):
        run()
    network.train(training)
    encoder = _ends_of_resolutions(sizes)
    if not heads or not encoder:
        raise InputError(f"{type(network).__name__}: no feature maps found that end in {out_channels} channel(s)")
    return Taps(encoder, heads[-1])


def find_levels(network: nn.Module, images: Tensor) -> tuple[tuple[Call, ...], list[int]]:
    """The calls that end each resolution of an encoder, finest first, and their channels, by one pass of `images`.

    A map of one pixel is no level: it is pooled. Raises InputError where there are no feature maps.
    """
    sizes: list[tuple[Call, tuple[int, ...]]] = []
    channels: dict[Call, int] = {}

    def see(call: Call, _: nn.Module, output: Any) -> Any:
        if isinstance(output, Tensor) and output.ndim == images.ndim and math.prod(output.shape[2:]) > 1:
            sizes.append((call, tuple(output.shape[2:])))
            channels[call] = output.shape[1]
        return output

    training = network.training
    network.eval()
    with torch.no_grad(), _watched(network, see):
        network(images)
    network.train(training)
    levels = _ends_of_resolutions(sizes)
    if not levels:
        raise InputError(f"{type(network).__name__}: no feature maps found")
    return levels, [channels[call] for call in levels]


def with_outputs(network: nn.Module, calls: tuple[Call, ...], run: Callable[[], Any]) -> tuple[Any, list[Tensor]]:
    """What `run` gives, and what came out of each of `calls`."""
    kept: dict[Call, Tensor] = {}

    def keep(call: Call, _: nn.Module, output: Any) -> Any:
        if call in calls:
            kept[call] = output.clone()  # what follows may add to it in place
        return output

    with _watched(network, keep):
        output = run()
    return output, [kept[call] for call in calls]


def _ends_of_resolutions(sizes: list[tuple[Call, tuple[int, ...]]]) -> tuple[Call, ...]:
    """Of each run of equal sizes that begins smaller than all before it the last call."""
    encoder: list[Call] = []
    smallest, growing = math.inf, False
    for call, shape in sizes:
        size = math.prod(shape)
        if size < smallest:
            encoder.append(call)
            smallest, growing = size, True
        elif size == smallest and growing:
            encoder[-1] = call
        else:
            growing = False
    return tuple(encoder)


def with_features(network: nn.Module, taps: Taps, run: Callable[[], Any]) -> tuple[Any, Tensor]:
    """What `run` gives, and the features [B, F, *S'] that the head makes classes of."""
    kept: list[Tensor] = []

    def keep(call: Call, _: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        if call == taps.head:
            kept.append(arguments[0])

    with _watched(network, keep, before=True):
        output = run()
    return output, kept[0]


def with_dropped(network: nn.Module, taps: Taps, run: Callable[[], Any], rate: float) -> tuple[Any, Any]:
    """`run` as it is, and with whole channels of the encoder's features dropped before the decoder sees them.

    The second pass computes the encoder again but puts the first pass's features, each channel dropped with
    probability `rate`, in place of its outputs: only the decoder sees what is missing. Its batch norms do not count it.
    """
    wanted = set(taps.encoder)
    clean: dict[Call, Tensor] = {}

    def keep(call: Call, _: nn.Module, output: Tensor) -> Tensor:
        if call in wanted:
            clean[call] = output.clone()  # what follows may add to it in place
        return output

    def drop(call: Call, _: nn.Module, output: Tensor) -> Tensor:
        if call not in clean:
            return output
        flat = clean[call].flatten(2).unsqueeze(3)  # dropout of whole channels for any number of axes
        return F.dropout2d(flat, rate).view_as(clean[call])

    with _watched(network, keep):
        first = run()
    with _watched(network, drop), _uncounted(network):
        return first, run()


def _maps_to(module: nn.Module, channels: int) -> bool:
    kinds = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)
    return isinstance(module, kinds) and module.out_channels == channels < module.in_channels


@contextmanager
def _watched(network: nn.Module, look: Callable[..., Any], before: bool = False) -> Iterator[None]:
    """`look(call, module, output)` at every call of a module within may replace its output; `before`: at its input."""
    seen: Counter[str] = Counter()

    def hook(name: str) -> Callable[..., Any]:
        def wrapped(module: nn.Module, arguments: tuple[Tensor, ...], *output: Tensor) -> Any:
            call = (name, seen[name])
            seen[name] += 1
            return look(call, module, *(output or (arguments,)))

        return wrapped

    handles = [
        module.register_forward_pre_hook(hook(name)) if before else module.register_forward_hook(hook(name))
        for name, module in network.named_modules()
        if module is not network
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _uncounted(network: nn.Module) -> Iterator[None]:
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    kept = [m.momentum for m in norms]
    for m in norms:
        m.momentum = 0.0
    try:
        yield
    finally:
        for m, momentum in zip(norms, kept):
            m.momentum = momentum
