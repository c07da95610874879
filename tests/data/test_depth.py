"""Images of more than 8 bits are kept as float16: chosen by the files, by force, on every tier, in cache and shards."""

from __future__ import annotations

import h5py
import pytest
import torch

from qgssl_fast.data import Placement, VolumeOptions, load_shards, load_stores, read_dataset
from qgssl_fast.data.shards import write_shards
from qgssl_fast.errors import InputError
from qgssl_fast.ops.augment import augment, weak_view
from qgssl_fast.ops.pixels import in_unit, kept_as

SPLITS = {"train": ["c0", "c1", "c2"], "val": ["c3"], "test": ["c4", "c5"]}
SIZE = (16, 16, 16)


@pytest.fixture
def cached(tmp_path, monkeypatch):
    monkeypatch.setenv("QGSSL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def scans(tree, kind="int16", other=None):
    """Volumes of Hounsfield units, two to a grey value of 8 bits."""
    tree.decathlon(splits=SPLITS)
    for i in range(6):
        values = tree.rng.integers(0, 250, (12, 14, 10)).astype(other if other and i == 5 else kind)
        if "8" not in str(values.dtype):
            values = values * 2 - 100
        tree.volume(f"imagesTr/c{i}.nii.gz", values)
    return read_dataset(tree.root)


@pytest.mark.parametrize(
    ("kind", "other", "want"),
    [("uint8", None, "uint8"), ("int16", None, "float16"), ("float32", None, "float16"), ("uint8", "int16", "float16")],
)
def test_volumes_by_the_type_of_their_files(tree, kind, other, want):
    stores = load_stores(scans(tree, kind, other), SIZE)
    assert {str(store.images.dtype) for store in stores.values()} == {f"torch.{want}"}
    said = "images are kept as float16 (files hold more than 8 bits a pixel)"
    assert (said in stores["train"].notes) == (want == "float16")
    test = stores["test"]
    assert test.plan.prepare(test.cases[0]).image.dtype == want


@pytest.mark.parametrize(("kind", "want"), [("u1", torch.uint8), ("f4", torch.float16), ("u2", torch.float16)])
def test_hdf5_by_the_type_of_their_data(tree, kind, want):
    tree.root.mkdir(parents=True)
    for i in range(4):
        with h5py.File(tree.root / f"s{i}.h5", "w") as file:
            file["image"] = tree.rng.integers(0, 200, (20, 24)).astype(kind)
            file["label"] = tree.mask_values(high=1)
    tree.csv("train.csv", [f"s{i}.h5,s{i}.h5" for i in range(2)])
    tree.csv("val.csv", ["s2.h5,s2.h5"])
    tree.csv("test.csv", ["s3.h5,s3.h5"])
    assert load_stores(read_dataset(tree.root), (20, 24))["train"].images.dtype == want


def test_half_precision_tells_more_than_256_values(tree):
    dataset, window = scans(tree), VolumeOptions(intensity="window", window=(-150.0, 450.0))
    deep = load_stores(dataset, SIZE, volumes=window)["train"]
    flat = load_stores(dataset, SIZE, volumes=window, dtype="uint8")["train"]
    assert any("kept as uint8, as asked" in note for note in flat.notes)
    hounsfield = deep.images[:, :, 3:13, 1:15, 2:14].float() * 600 - 150
    assert (hounsfield - hounsfield.round()).abs().max() < 0.16  # 2^-11 of the upper half of the window
    assert len(hounsfield.round().unique()) == 250
    assert len(flat.images.unique()) < 230
    off = (deep.images.float() - flat.images.float() / 255).abs().max()
    assert off < 0.5 / 255 + 2**-12 + 1e-6  # of rounding to bytes, and to half precision
    for a, b in zip(deep.statistics(), flat.statistics()):
        assert a == pytest.approx(b, abs=1e-3)


def test_8_bits_as_float16_by_force(tree):
    dataset = read_dataset(tree.whole().root)
    plain, forced = (load_stores(dataset, (12, 16), dtype=dtype)["train"] for dtype in ("auto", "float16"))
    assert plain.images.dtype == torch.uint8
    assert torch.equal(forced.images, (plain.images.float() / 255).half())
    assert torch.equal(kept_as(in_unit(forced.images), torch.uint8), plain.images)
    assert any("kept as float16 (as asked)" in note for note in forced.notes)
    with pytest.raises(InputError, match="dtype must be one of auto, uint8, float16, got 'float32'"):
        load_stores(dataset, (12, 16), dtype="float32")


@pytest.mark.parametrize("tier", ["device", "host", "disk"])
def test_every_tier_and_the_cache(tree, cached, tier, monkeypatch):
    dataset = scans(tree)
    plain = load_stores(dataset, SIZE)["train"]
    flat = load_stores(dataset, SIZE, dtype="uint8", placement=Placement(tier))["train"]
    assert len(list((cached / "stores").iterdir())) == 2  # of another type, another store
    monkeypatch.setattr("qgssl_fast.data.checks.look", None)  # nothing is decoded again
    stores = load_stores(dataset, SIZE, placement=Placement(tier))
    store, index = stores["train"], torch.tensor([2, 0])
    assert store.plan.dtype == "float16"
    bytes_ = sum(one.images.nbytes + (0 if one.labels is None else one.labels.bits.nbytes) for one in stores.values())
    assert store.images.nbytes == 2 * flat.images.nbytes
    assert any(f"({bytes_ / 1e9:.2f} GB)" in note for note in store.notes)
    assert torch.equal(store.batch(index)[0], plain.images[index])
    images, labels, at = store.labelled_source(index)
    given = {"seed": 3, "sample_ids": torch.arange(2)}
    got = augment(images, labels, weak_view(), index=at, **given)
    assert torch.equal(got[0], augment(plain.images, plain.labels, weak_view(), index=index, **given)[0])
    eight = augment(flat.images, flat.labels, weak_view(), index=index, **given)
    assert torch.equal(got[1], eight[1])
    assert (got[0] - eight[0]).abs().max() < 0.02


def test_the_budget_counts_two_bytes(tree, monkeypatch):
    """float16 images do not fit where uint8 ones would."""
    from qgssl_fast.data import tiers

    dataset, seen = scans(tree), []
    plain = Placement.choose
    monkeypatch.setattr(
        tiers.Placement, "choose", lambda self, needed, *a: seen.append(needed) or plain(self, needed, *a)
    )
    for dtype in ("float16", "uint8"):
        stores = load_stores(dataset, SIZE, dtype=dtype)
    images = sum(store.images.nbytes for store in stores.values())
    assert seen[0] - seen[1] == images


def test_shards_keep_the_type(tree, tmp_path):
    stores = load_stores(scans(tree), SIZE)
    write_shards({name: store for name, store in stores.items() if len(store)}, str(tmp_path / "shards"), samples=2)
    found = load_shards(str(tmp_path / "shards"))
    assert found["train"].images.dtype == torch.float16
    assert torch.equal(found["train"].images, stores["train"].images)
