import pytest

from qgssl_fast.errors import InputError
from qgssl_fast.training.config import Config
from qgssl_fast.training.settings import check, flatten, known_keys, list_presets, load_preset, nearest, to_dict


@pytest.mark.parametrize("name", list_presets())
def test_presets_hold_known_settings_only(name):
    assert set(load_preset(name)) <= set(known_keys())


def test_paper_preset_has_the_published_numbers():
    preset = load_preset("paper")
    wanted = {
        "images.size": [224, 224], "quality.epochs": 150, "quality.corruptions_per_image": 50, "quality.lr": 3e-4,
        "quality.weight_decay": 5e-4, "quality.patience": 25, "quality.recipe": "paper", "segmenter.epochs": 200,
        "segmenter.labelled_batch": 32, "segmenter.unlabelled_batch": 64, "segmenter.lr": 1e-4, "segmenter.ema": 0.999,
        "segmenter.method_lambda.start": 15,
        "segmenter.method_lambda.ramp": 30, "segmenter.method_lambda.maximum": 0.25,
        "segmenter.regularizer_lambda.start": 30, "segmenter.regularizer_lambda.ramp": 40,
        "segmenter.regularizer_lambda.maximum": 0.01, "weak.snapshots": [1, 3, 5, 10, 15, 20],
    }  # fmt: skip
    assert {key: preset[key] for key in wanted} == wanted


def test_unknown_preset_is_named():
    with pytest.raises(InputError, match=r"wanted one of cpu, paper, phantoms, got 'papr' \(did you mean paper\?\)"):
        load_preset("papr")


def test_all_faults_at_once():
    config = Config(seed=-1, precision="fp8")
    config.images.size = [8, 96]
    config.weak.snapshots = [1, 99]
    with pytest.raises(InputError) as error:
        check(config)
    text = str(error.value)
    assert "4 faults" in text
    for part in (
        "seed",
        "precision: wanted no, bf16 or fp16, got 'fp8'",
        "images.size",
        "weak.snapshots: wanted epochs from 1 to 20",
    ):
        assert part in text


def test_wrong_types_are_named():
    config = Config(seed=1.5, methods="PL-QW", compile=1)
    config.segmenter.epochs = "3"
    config.weak.snapshots = [1, "2"]
    config.images.size = (32, 32)
    config.segmenter.lr = 1
    with pytest.raises(InputError) as error:
        check(config)
    lines = str(error.value).splitlines()
    assert lines[0] == "configuration: 5 faults"
    assert lines[1:] == [
        "  - methods: wanted list[str], got 'PL-QW'",
        "  - seed: wanted int, got 1.5",
        "  - compile: wanted bool, got 1",
        "  - weak.snapshots: wanted list[int], got [1, '2']",
        "  - segmenter.epochs: wanted int, got '3'",
    ]


def test_default_config_is_good():
    check(Config())
    assert "segmenter.method_lambda.start" in flatten(to_dict(Config()))


def test_nearest():
    assert nearest("segmenter.epoch", known_keys()) == " (did you mean segmenter.epochs?)"
    assert nearest("zzz", known_keys()) == ""
