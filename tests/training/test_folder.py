import pytest
import torch
from safetensors import safe_open

from qgssl_fast.errors import InputError
from qgssl_fast.files import replacing, write_tensors, write_text
from qgssl_fast.training.config import Config
from qgssl_fast.training.folder import choose, open_run, removed_if_refused


def test_next_free_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert str(choose(Config())) == "runs/phantoms-001"
    (tmp_path / "runs" / "phantoms-001").mkdir(parents=True)
    assert str(choose(Config())) == "runs/phantoms-002"
    assert str(choose(Config(data="some/set"))) == "runs/set-001"
    assert str(choose(Config(out="x"))) == "x"


def test_other_settings_are_named(tmp_path):
    open_run(tmp_path / "a", Config()).close()
    open_run(tmp_path / "a", Config(threads=1)).close()
    changed = Config()
    changed.segmenter.lr = 0.5
    with pytest.raises(InputError, match=r"segmenter\.lr: there 0\.0001, now 0\.5"):
        open_run(tmp_path / "a", changed)


def test_second_process_is_refused(tmp_path):
    lock = open_run(tmp_path / "a", Config())
    with pytest.raises(InputError, match="another process is training"):
        open_run(tmp_path / "a", Config())
    lock.close()
    open_run(tmp_path / "a", Config()).close()


def test_foreign_folder_and_file(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="it is no run folder"):
        open_run(tmp_path, Config())
    with pytest.raises(InputError, match="wanted a folder, got the file"):
        open_run(tmp_path / "thesis.txt", Config())
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_killed_before_the_settings_were_written(tmp_path):
    (tmp_path / ".123.config.yaml").write_text("see")
    (tmp_path / ".lock").touch()
    open_run(tmp_path, Config()).close()
    assert {p.name for p in tmp_path.iterdir()} == {".lock", "config.yaml"}


def test_nothing_half_written(tmp_path):
    path = write_text(tmp_path / "a.txt", "whole")

    def fail():
        with replacing(path) as beside:
            beside.write_text("ha")
            raise OSError("disk full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert path.read_text() == "whole"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_the_same_tensors_give_the_same_bytes(tmp_path):
    tensors = {"b": torch.arange(3), "a": torch.zeros(2, 2)}
    notes = {name: f'"{name}" é\n' for name in ("kind", "size", "classes", "state", "hash")}
    written = set()
    for k in range(20):
        path = write_tensors(tmp_path / f"{k}.safetensors", dict(tensors), dict(notes))
        written.add(path.read_bytes())
    assert len(written) == 1
    with safe_open(path, "pt") as file:
        assert file.metadata() == notes
        assert torch.equal(file.get_tensor("b"), tensors["b"])


def refuse(folder, inside):
    def run():
        with removed_if_refused(folder):
            folder.mkdir(parents=True, exist_ok=True)
            inside()
            raise InputError("no good")

    with pytest.raises(InputError, match="no good"):
        run()


def test_a_refused_run_leaves_nothing_of_its_own(tmp_path):
    refuse(tmp_path / "a" / "b", lambda: (tmp_path / "a" / "b" / "log").write_text("x"))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a").mkdir()
    refuse(tmp_path / "a", lambda: None)
    assert (tmp_path / "a").is_dir()


def test_what_has_been_trained_or_is_anothers_stays(tmp_path):
    refuse(tmp_path / "a", lambda: (tmp_path / "a" / "weak").mkdir())
    assert (tmp_path / "a" / "weak").is_dir()
    locks = []
    refuse(tmp_path / "b", lambda: locks.append(open_run(tmp_path / "b", Config())))
    assert (tmp_path / "b" / "config.yaml").is_file()
    locks[0].close()
