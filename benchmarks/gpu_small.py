"""A small case of every kernel, for compute-sanitizer: each row on images and volumes, labels, soft masks, every dtype.

python benchmarks/gpu_small.py [DEVICE BACKEND]
"""

from __future__ import annotations

import sys

import torch

import qgssl_fast as qf
from qgssl_fast.corruption import MaskBank
from qgssl_fast.recipes.softness import Softness


def masks_of(*shape: int) -> torch.Tensor:
    at = torch.stack(torch.meshgrid(*(torch.linspace(-1, 1, side) for side in shape[1:]), indexing="ij"))
    radii = torch.linspace(0.05, 1.2, shape[0]).view(-1, *[1] * (len(shape) - 1))
    return ((at**2).sum(0)[None] < radii).to(torch.uint8)


def main(device: str = "cuda", backend: str = "cuda") -> None:
    checked = 0
    for size in ((33, 70), (40, 64), (4, 19, 40)):
        masks = masks_of(6, *size)
        bank = MaskBank(masks)
        bank.add(masks.roll(1, 0))
        for row in qf.load_recipe("default").rows:
            recipe = qf.load_recipe("default").only(row.name)
            options = {"seed": 3, "bank": bank, "errors": True}
            ids = torch.arange(6)
            want = qf.corrupt(masks, recipe, sample_ids=ids, image_ids=ids, **options)
            there = ids.to(device)
            got = qf.corrupt(masks.to(device), recipe, sample_ids=there, image_ids=there, **options, backend=backend)
            assert torch.equal(got.masks.cpu(), want.masks), (row.name, size)
            checked += 1
        for dtype in (torch.uint8, torch.float32, torch.float16, torch.bfloat16):
            inputs = torch.zeros(6, 2, *size, dtype=dtype, device=device)
            recipe = qf.load_recipe("paper").without_bank()
            qf.corrupt(masks.to(device), recipe, out=inputs[:, 1], backend=backend)
            assert torch.equal(inputs[:, 1].cpu(), qf.corrupt(masks, recipe).masks.to(dtype)), dtype
        soft = qf.load_recipe("labels").without_bank().replace(softness=Softness(0.8, 1, 9, 1.0, 20.0))
        for recipe in (soft, soft.replace(softness=None)):
            labels = masks + masks.roll(1, 0)
            got = qf.corrupt(labels.to(device), recipe, num_classes=3, backend=backend).masks.cpu()
            assert torch.equal(got, qf.corrupt(labels, recipe, num_classes=3).masks)
        for radius in (1, 40):
            got = qf.closing(masks.to(device), radius, backend=backend).cpu()
            assert torch.equal(got, qf.closing(masks, radius))
        got = qf.elastic(masks.to(device), 5.0, 3.0, backend=backend).cpu()
        assert torch.equal(got, qf.elastic(masks, 5.0, 3.0))
        matrices = torch.eye(len(size), len(size) + 1).expand(6, -1, -1) * 1.1
        for truncate in (False, True):
            got = qf.affine(masks.to(device), matrices.to(device), truncate=truncate, backend=backend).cpu()
            assert torch.equal(got, qf.affine(masks, matrices, truncate=truncate))
        assert torch.equal(
            qf.overlap(masks.to(device), masks.to(device), backend=backend).cpu(), qf.overlap(masks, masks)
        )
    print(checked, "rows and all other kernels as on the CPU")


if __name__ == "__main__":
    main(*sys.argv[1:])
