"""Run by test_triton.py in a process of its own, under TRITON_INTERPRET=1: augmentation on CPU tensors."""

from __future__ import annotations

import itertools

import torch

from qgssl_fast.kernels.reference.packed import pack_masks
from qgssl_fast.ops.augment import Augmentation, augment, augment_views, strong_view, weak_view

GENERATOR = torch.Generator().manual_seed(0)
FAR = Augmentation(flip=0.5, rotate_deg=180, scale=(0.2, 3), translate=1, blur=2, noise=0.3)
INDEX, IDS = torch.tensor([3, 0, 3]), torch.tensor([5, 2**40 + 1, -7])
SHAPES = [(3, 33, 40), (1, 7, 5), (4, 1, 18), (2, 1, 1), (2, 6, 9, 11)]


def store(shape: tuple[int, ...], classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.randint(0, 256, (4, *shape), dtype=torch.uint8, generator=GENERATOR)
    return images, torch.randint(0, classes, (4, *shape[1:]), dtype=torch.uint8, generator=GENERATOR)


for shape in SHAPES:
    images, masks = store(shape, 5)
    for geometry, strong in ((weak_view(), strong_view()), (FAR, None), (Augmentation(flip=0.5), strong_view())):
        for stored, kept in itertools.product((images, (images / 255).half()), (masks, pack_masks(masks, 5))):
            given = {"seed": 2**63 + 5, "sample_ids": IDS, "index": INDEX}
            want = augment_views(stored, kept, geometry, strong, backend="reference", **given)
            got = augment_views(stored, kept, geometry, strong, backend="triton", **given)
            assert torch.equal(want.masks, got.masks), (shape, geometry)
            for a, b in zip(want[:2], got[:2]):
                assert (a - b).abs().max() <= 4e-6, (shape, geometry, (a - b).abs().max())
    # Without looks the values of bytes are those of the reference, bit for bit.
    far = FAR.geometry_only()
    a, b = (
        augment(images, None, far, seed=1, sample_ids=IDS, index=INDEX, backend=k)[0] for k in ("reference", "triton")
    )
    assert torch.equal(a, b), shape
    form = {
        "normalisation": ([0.4] * shape[0], [0.3 + 0.1 * c for c in range(shape[0])]),
        "dtype": torch.float16,
        "channels_last": True,
    }
    a, b = (
        augment(images, None, FAR, seed=1, sample_ids=IDS, index=INDEX, backend=k, **form)[0]
        for k in ("reference", "triton")
    )
    assert a.stride() == b.stride()
    assert (a.float() - b.float()).abs().max() <= 2**-9, shape  # a rounding of values below 4
print("ok")
