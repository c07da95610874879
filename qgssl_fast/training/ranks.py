"""What makes several ranks, or several parts of a batch, train as one: gathering, batch norm, dropout, weights."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from .stage import Part


def world() -> tuple[int, int]:
    """(rank, number of ranks)."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def mean_over_ranks(values: Tensor) -> Tensor:
    """The mean of a tensor over all ranks, on the device; without a gradient."""
    if world()[1] == 1:
        return values
    total = values.detach().clone()
    dist.all_reduce(total)
    return total / world()[1]


class SumOverRanks(torch.autograd.Function):
    """The sum of a tensor over all ranks, and its gradient: the sum of the ranks' gradients."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return SumOverRanks.forward(ctx, gradients[0].contiguous())


def own(count: int) -> slice:
    """This rank's items of `count`: every so-manieth, so that all ranks have as much to do."""
    rank, ranks = world()
    return slice(rank, count, ranks)


def gather(values: Tensor, count: int) -> Tensor:
    """[count, ...] of all ranks from each one's `own` rows, in order, none of them twice."""
    ranks = world()[1]
    if ranks == 1:
        return values
    most = -(-count // ranks)
    padded = values.new_zeros((most, *values.shape[1:]))
    padded[: len(values)] = values
    parts = [torch.empty_like(padded) for _ in range(ranks)]
    dist.all_gather(parts, padded)
    return torch.stack(parts, 1).flatten(0, 1)[:count]


def as_one(network: nn.Module, position: list[Part], device: torch.device) -> nn.Module:
    """`network` with batch norm over all ranks, and with dropout whose draws do not depend on how a batch is parted.

    position: a list whose only item is the part that is being computed. Parameters and their names stay.
    """
    if world()[1] > 1:
        if device.type == "cuda":
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        else:
            network = _replace(network, nn.modules.batchnorm._BatchNorm, _global_batch_norm)
    return _replace(network, nn.modules.dropout._DropoutNd, lambda old: PartDropout(old, position))


def _replace(network: nn.Module, kind: type, make: Any) -> nn.Module:
    for name, child in network.named_children():
        if isinstance(child, kind):
            setattr(network, name, make(child))
        else:
            _replace(child, kind, make)
    return network


class PartDropout(nn.Module):
    """Dropout of one part of a batch: draws for the whole batch and takes its own rows."""

    def __init__(self, old: nn.modules.dropout._DropoutNd, position: list[Part]) -> None:
        super().__init__()
        self.p, self.position, self.training = old.p, position, old.training
        self.whole_channels = not isinstance(old, nn.Dropout)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        part = self.position[0]
        each = (1,) * (x.ndim - 2) if self.whole_channels else x.shape[2:]
        kept = torch.empty((part.count * len(x), *x.shape[1:2], *each), dtype=x.dtype, device=x.device)
        kept.bernoulli_(1 - self.p)
        return x * kept[part.of(len(kept))] * (1 / (1 - self.p))


class GlobalBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm over the batches of all ranks, on CPUs too, where torch's own does not go."""

    def _check_input_dim(self, x: Tensor) -> None:
        pass

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        axes, shape = [0, *range(2, x.ndim)], (1, -1, *[1] * (x.ndim - 2))
        count = x.numel() // x.shape[1] * world()[1]
        mean = SumOverRanks.apply(x.sum(axes)) / count
        centred = x - mean.view(shape)
        variance = SumOverRanks.apply(centred.square().sum(axes)) / count
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            self.num_batches_tracked += 1
            momentum = 0.1 if self.momentum is None else self.momentum
            self.running_mean.lerp_(mean.detach(), momentum)
            self.running_var.lerp_(variance.detach() * (count / max(1, count - 1)), momentum)
        normed = centred * torch.rsqrt(variance + self.eps).view(shape)
        return normed * self.weight.view(shape) + self.bias.view(shape) if self.affine else normed


def _global_batch_norm(old: nn.modules.batchnorm._BatchNorm) -> GlobalBatchNorm:
    new = GlobalBatchNorm(old.num_features, old.eps, old.momentum, old.affine, old.track_running_stats)
    for name in ("weight", "bias"):
        setattr(new, name, getattr(old, name))
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        setattr(new, name, getattr(old, name))
    return new.train(old.training)
