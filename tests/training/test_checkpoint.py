import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from qgssl_fast.errors import InputError
from qgssl_fast.training import checkpoint


def trained(steps=3):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    for step in range(steps):
        torch.manual_seed(step)
        optimizer.zero_grad()
        model(torch.randn(8, 4)).square().sum().backward()
        optimizer.step()
    return model, optimizer


def test_goes_on_to_the_same_weights(tmp_path):
    path = tmp_path / "a" / "c.safetensors"
    model, optimizer = trained(2)
    checkpoint.save(path, {"model": model}, optimizer, {"epoch": 2, "best": 0.5})
    again, optimizer = trained(0)
    assert checkpoint.load(path, {"model": again}, optimizer) == {"epoch": 2, "best": 0.5}
    torch.manual_seed(2)
    optimizer.zero_grad()
    again(torch.randn(8, 4)).square().sum().backward()
    optimizer.step()
    for a, b in zip(again.state_dict().values(), trained(3)[0].state_dict().values()):
        assert torch.equal(a, b)
    assert [p.name for p in path.parent.iterdir()] == ["c.safetensors"]


def test_bad_files_are_named(tmp_path):
    model, optimizer = trained(1)
    path = tmp_path / "c.safetensors"
    path.write_bytes(b"no")
    with pytest.raises(InputError, match=r"c\.safetensors: wanted a checkpoint, got an unreadable file"):
        checkpoint.load(path, {"model": model}, optimizer)
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(InputError, match="got another safetensors file"):
        checkpoint.load(path, {"model": model}, optimizer)
    checkpoint.save(path, {"model": model}, optimizer, {})
    damaged = bytearray(path.read_bytes())
    damaged[-3] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(InputError, match="does not match its hash"):
        checkpoint.load(path, {"model": model}, optimizer)
    checkpoint.save(path, {"model": nn.Linear(2, 2)}, optimizer, {})
    with pytest.raises(InputError, match="of another network"):
        checkpoint.load(path, {"model": model}, optimizer)
