"""Files of weights: whole or not at all, and a plain word about any file that is not right."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from qgssl_fast.errors import InputError
from qgssl_fast.networks import Segmenter
from qgssl_fast.quality import QualityPredictor


@pytest.fixture
def model():
    return Segmenter("UNet", image_size=(16, 16), options={"channels": [4, 8, 8]})


@pytest.fixture
def path(model, tmp_path):
    return model.save(tmp_path / "f.safetensors")


def rewrite(path, change):
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        about = json.loads(file.metadata()["qgssl_fast"])
    change(tensors, about)
    save_file(tensors, path, metadata={"qgssl_fast": json.dumps(about)})


def test_nothing_is_left_beside(path):
    assert [file.name for file in path.parent.iterdir()] == ["f.safetensors"]


def test_a_failed_save_leaves_the_old_file(model, path, monkeypatch):
    before = path.read_bytes()

    def full(tensors, file, metadata):
        file.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr("qgssl_fast.files.save_file", full)
    with pytest.raises(OSError, match="No space left"):
        model.save(path)
    assert path.read_bytes() == before
    assert len(list(path.parent.iterdir())) == 1


def test_shared_tensors_are_written_once(tmp_path):
    model = Segmenter("DynUNet", image_size=(32, 32), options={"filters": [4, 4, 4, 4, 4]})
    with safe_open(model.save(tmp_path / "f.safetensors"), "pt") as file:
        assert len(file.keys()) < len(model.state_dict())


def test_not_contiguous_weights(model, tmp_path):
    model = model.to(memory_format=torch.channels_last).eval()
    images = torch.rand(1, 3, 16, 16)
    torch.testing.assert_close(Segmenter.load(model.save(tmp_path / "f.safetensors"))(images), model(images))


def test_another_kind(path):
    with pytest.raises(InputError, match=r"f\.safetensors: wanted a quality predictor, it holds a segmenter"):
        QualityPredictor.load(path)


def test_files_that_are_not_ours(path, tmp_path):
    with pytest.raises(InputError, match="no such file"):
        Segmenter.load(tmp_path / "none.safetensors")
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(InputError, match=r"text\.safetensors: not a readable safetensors file"):
        Segmenter.load(tmp_path / "text.safetensors")
    save_file({"a": torch.zeros(2)}, tmp_path / "foreign.safetensors")
    with pytest.raises(InputError, match=r"foreign\.safetensors: holds no segmenter"):
        Segmenter.load(tmp_path / "foreign.safetensors")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"f\.safetensors: not a readable safetensors file"):
        Segmenter.load(path)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda t, a: t.pop(next(iter(t))), "tensors do not fit its segmenter"),
        (lambda t, a: t.update(other=torch.zeros(1)), "tensors do not fit its segmenter: other"),
        (lambda t, a: t.update({"normalize.mean": torch.zeros(4)}), r"tensor normalize.mean must be \[3\], got \[4\]"),
        (lambda t, a: a.update(version=99), "written in format 99, this qgssl_fast reads 1"),
        (lambda t, a: a["arguments"].update(network="Nothing"), r"cannot build its segmenter: network: no such name"),
        (lambda t, a: a["arguments"].update(surprise=1), "cannot build its segmenter"),
        (lambda t, a: a.pop("arguments"), "holds no segmenter"),
        (lambda t, a: a.update(arguments=[1]), "its arguments are no mapping"),
    ],
)
def test_files_that_do_not_fit(path, change, text):
    rewrite(path, change)
    with pytest.raises(InputError, match=text):
        Segmenter.load(path)


def test_what_cannot_be_written(model, tmp_path):
    with pytest.raises(InputError, match=r"saved as \.safetensors"):
        model.save(tmp_path / "f.pt")
    with pytest.raises(InputError, match="must be plain values"):
        model.save(tmp_path / "f.safetensors", history=torch.zeros(3))
