"""What decoding shows: kinds of pixels that are read, and faults that are named, all at once."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from qgssl_fast.data import DeviceStore, check_dataset, load_stores, read_dataset
from qgssl_fast.data.decode import MAX_PIXELS
from qgssl_fast.errors import InputError


def faults(tree, **options):
    return [str(fault) for fault in check_dataset(read_dataset(tree.root), **options)]


def only(tree, pattern, **options):
    found = faults(tree, **options)
    assert len(found) == 1, found
    assert pattern in found[0]


def test_a_sound_set_has_no_faults_and_tells_progress(tree):
    calls = []
    assert faults(tree.whole(), progress=lambda done, total: calls.append((done, total))) == []
    assert calls == [(i + 1, 8) for i in range(8)]


def test_one_broken_file_hides_no_other(tree):
    tree.whole()
    jpeg = tree.root / tree.image("images/a0.jpg", size=(200, 200))
    jpeg.write_bytes(jpeg.read_bytes()[:2000])
    tree.mask("masks/a0.png", size=(200, 200))
    tree.csv("train.csv", ["images/a0.jpg,masks/a0.png", *(f"images/a{i}.png,masks/a{i}.png" for i in (1, 2, 3))])
    (tree.root / "images/a1.png").write_text("no image")
    tree.mask("masks/a2.png", size=(20, 25))
    tree.mask("masks/a3.png", high=0)
    tree.save("images/v.png", np.full((20, 24, 3), 7, np.uint8))
    tree.save("masks/v.png", np.random.default_rng(0).integers(0, 256, (20, 24), dtype=np.uint8))
    found = "\n".join(faults(tree))
    assert "images/a0.jpg: unreadable (image file is truncated" in found
    assert "images/a1.png: unreadable, not a PNG, JPEG, TIFF or BMP image" in found
    assert "masks/a2.png: is 25x20 pixels, its image images/a2.png is 24x20" in found
    assert "masks/a3.png: empty mask" in found
    assert "images/v.png: constant image" in found
    assert "masks/v.png: a mask has two values, this one has 0, " in found
    assert len(found.splitlines()) == 6
    with pytest.raises(InputError, match="6 faults"):
        load_stores(read_dataset(tree.root))


def test_empty_masks_can_be_allowed(tree):
    tree.whole()
    tree.mask("masks/a1.png", high=0)
    only(tree, "masks/a1.png: empty mask")
    assert faults(tree, allow_empty_masks=True) == []
    stores = load_stores(read_dataset(tree.root), allow_empty_masks=True)
    assert stores["train"].masks.flatten(1).any(1).tolist() == [True, False, True, True]


def test_jpeg_mask_gets_a_hint(tree):
    tree.whole()
    tree.mask("masks/a0.jpg")
    tree.csv("train.csv", ["images/a0.png,masks/a0.jpg", "images/a1.png,masks/a1.png"])
    only(tree, "JPEG blurs masks, save them as PNG")


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 255), (3, 200), (1, 2)])
def test_any_two_values_the_lower_is_background(tree, low, high):
    tree.whole()
    for stem in ("a0", "a1", "a2", "a3", "v", "t"):
        tree.mask(f"masks/{stem}.png", low=low, high=high)
    tree.mask("masks/a3.png", low=high, high=high)  # full, judged by the set's two values
    assert faults(tree) == []
    masks = load_stores(read_dataset(tree.root), size=(20, 24))["train"].masks
    assert np.array_equal(masks[0], tree.mask_values(low=0, high=1))
    assert masks[3].all()


def test_a_mask_with_other_values_than_the_set(tree):
    tree.whole()
    tree.mask("masks/a2.png", high=1)
    only(tree, "masks/a2.png: mask values 0 and 1, the other masks have 0 and 255")


def kinds_of_masks():
    on = np.zeros((20, 24), bool)
    on[5:15, 6:18] = True
    grey = on.astype(np.uint8) * 255
    palette = Image.fromarray(on.astype(np.uint8)).convert("P")
    palette.putpalette([200, 0, 0, 0, 0, 0])  # index 0 is the brighter colour: indices count, not colours
    yield "boolean", Image.fromarray(on)
    yield "palette", palette
    yield "16 bit", Image.fromarray(on.astype(np.uint16) * 60000)
    yield "rgb", Image.fromarray(np.stack([grey] * 3, -1))
    yield "rgba", Image.fromarray(np.stack([grey] * 3 + [np.full_like(grey, 255)], -1))
    yield "grey alpha", Image.merge("LA", [Image.fromarray(grey), Image.fromarray(255 - grey)])


@pytest.mark.parametrize(
    ("name", "image"), list(kinds_of_masks()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_kinds_of_masks(tree, name, image):
    tree.whole()
    for stem in ("a0", "a1", "a2", "a3", "v", "t"):
        tree.save(f"masks/{stem}.png", image)
    assert faults(tree) == []
    masks = load_stores(read_dataset(tree.root), size=(20, 24))["train"].masks
    assert np.array_equal(masks[0], tree.mask_values(low=0, high=1))


def test_masks_that_cannot_be_meant(tree):
    tree.whole()
    tree.image("masks/a0.png")
    values = np.zeros((20, 24, 4), np.uint8)
    values[..., 3] = tree.mask_values()
    tree.save("masks/a1.png", values)
    tree.csv("val.csv", ["images/v.png,masks/v.tif"])
    tree.save("masks/v.tif", tree.mask_values().astype(np.float32))
    found = "\n".join(faults(tree))
    assert "masks/a0.png: a coloured mask" in found
    assert "masks/a1.png: the mask lies in the alpha channel alone" in found
    assert "masks/v.tif: float pixels" in found


def test_same_pixels_in_two_splits(tree):
    tree.whole()
    with Image.open(tree.root / "images/a1.png") as image:
        tree.save("images/t.png", image.copy(), optimize=True)
    only(tree, "images/t.png: same pixels in test as images/a1.png in train: the splits leak")


def test_a_zip_bomb_is_refused_by_its_header(tree):
    tree.whole()
    side = int(MAX_PIXELS**0.5) + 1
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    (tree.root / "images/a0.png").write_bytes(start + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b""))
    only(tree, "images/a0.png: 8001x8001 pixels are over the limit of 64,000,000")


def test_pages(tree):
    tree.whole()
    first = Image.fromarray(tree.mask_values())
    tree.save("images/a0.tif", first, save_all=True, append_images=[first.rotate(180)])
    tree.csv("train.csv", ["images/a0.tif,masks/a0.png"])
    only(tree, "images/a0.tif: holds 2 pages")


def test_exif_rotation_is_applied_and_said(tree):
    tree.whole()
    values = tree.rng.integers(0, 256, (24, 20, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise
    tree.save("images/a0.png", values, exif=exif)
    assert faults(tree) == []
    store = load_stores(read_dataset(tree.root), size=(20, 24))["train"]
    assert np.array_equal(store.images[0].permute(1, 2, 0), np.rot90(values, -1))
    assert "EXIF rotation applied: 1 file(s)" in store.notes


def test_unlabelled_and_labelled_cases_do_not_mix(tree):
    splits = read_dataset(tree.whole().root).splits
    with pytest.raises(InputError, match="2 of 6 cases have no mask"):
        DeviceStore.from_cases(splits["train"] + splits["unlabeled"])
