"""Checkpoints: exact, whole or not at all, the one before where the newest is not good, and nothing unpickled."""

import pickle
import shutil

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from qgssl_fast import files
from qgssl_fast.training import checkpoint
from qgssl_fast.training.checkpoint import BEFORE, NEWEST, load_newest


def trained(steps=3):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    for step in range(steps):
        train(model, optimizer, step)
    return model, optimizer


def train(model, optimizer, step):
    torch.manual_seed(step)
    optimizer.zero_grad()
    model(torch.randn(8, 4)).square().sum().backward()
    optimizer.step()


def save(folder, steps):
    model, optimizer = trained(steps)
    checkpoint.save(folder, {"model": model}, optimizer, {"step": steps})


def load(folder):
    model, optimizer = trained(0)
    return *load_newest(folder, {"model": model}, optimizer), model, optimizer


def test_goes_on_to_the_same_weights(tmp_path):
    save(tmp_path / "a", 2)
    state, said, model, optimizer = load(tmp_path / "a")
    assert (state, said) == ({"step": 2}, [])
    train(model, optimizer, 2)
    for a, b in zip(model.state_dict().values(), trained(3)[0].state_dict().values()):
        assert torch.equal(a, b)
    assert [p.name for p in (tmp_path / "a").iterdir()] == [NEWEST]


def test_nothing_there(tmp_path):
    assert load(tmp_path)[:2] == (None, [])


def damage(path):
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:-50])


def foreign(path):
    save_file({"x": torch.zeros(1)}, path)


def of_another_network(path):
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5))
    checkpoint.save(path.parent / "other", {"model": model}, torch.optim.AdamW(model.parameters()), {"step": 9})
    shutil.copy(path.parent / "other" / NEWEST, path)


def changed_state(path):
    content = path.read_bytes()
    assert b'step\\": 2' in content
    path.write_bytes(content.replace(b'step\\": 2', b'step\\": 7'))


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def pickled(path):
    path.write_bytes(pickle.dumps(Malicious(str(path.parent / "run"))))


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (damage, "does not match its hash"),
        (changed_state, "does not match its hash"),
        (cut, "got an unreadable file"),
        (pickled, "got an unreadable file"),
        (lambda path: path.write_bytes(b""), "got an unreadable file"),
        (foreign, "got another safetensors file"),
        (of_another_network, "of another network: model/0."),
    ],
)
def test_a_bad_file_is_named_and_the_one_before_is_used(tmp_path, spoil, told):
    save(tmp_path, 1)
    save(tmp_path, 2)
    spoil(tmp_path / NEWEST)
    state, said, model, _ = load(tmp_path)
    assert state == {"step": 1}
    assert len(said) == 1
    assert str(tmp_path / NEWEST) in said[0]
    assert told in said[0]
    for a, b in zip(model.state_dict().values(), trained(1)[0].state_dict().values()):
        assert torch.equal(a, b)
    assert not (tmp_path / "run").exists()


def test_all_bad(tmp_path):
    save(tmp_path, 1)
    save(tmp_path, 2)
    for name in (NEWEST, BEFORE):
        damage(tmp_path / name)
    state, said, model, optimizer = load(tmp_path)
    assert state is None
    assert len(said) == 2
    assert optimizer.state_dict()["state"] == {}
    assert torch.equal(model[0].weight, trained(0)[0][0].weight), "nothing of a bad file is taken over"


def test_a_full_disk_leaves_the_last_good_one(tmp_path, monkeypatch):
    save(tmp_path, 1)
    save(tmp_path, 2)

    def full(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "save_file", full)
    with pytest.raises(OSError, match="No space"):
        save(tmp_path, 3)
    assert load(tmp_path)[:2] == ({"step": 2}, [])
    assert {p.name for p in tmp_path.iterdir()} == {NEWEST, BEFORE}


def test_killed_between_two_renames(tmp_path):
    save(tmp_path, 1)
    save(tmp_path, 2)
    (tmp_path / NEWEST).rename(tmp_path / "checkpoint-new.safetensors")
    assert load(tmp_path)[:2] == ({"step": 2}, [])
    checkpoint.remove(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_a_killed_process(tmp_path):
    kept = tmp_path / "weak" / ".hidden"
    kept.parent.mkdir()
    for path in (kept, tmp_path / "weak" / ".123.checkpoint-new.safetensors", tmp_path / ".77.metrics.json"):
        path.write_text("half")
    files.remove_leftovers(tmp_path)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [kept]
