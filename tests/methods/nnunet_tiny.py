"""Run by test_examples.py where nnU-Net is installed: its own planning, data and loop with the example's trainer.

python nnunet_tiny.py FOLDER EXAMPLE
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path

root, example = Path(sys.argv[1]), sys.argv[2]
for key in ("raw", "preprocessed", "results"):
    os.environ[f"nnUNet_{key}"] = str(root / key)
os.environ |= {"nnUNet_n_proc_DA": "1", "nnUNet_compile": "false"}

import nibabel  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402

from qgssl_fast.quality import QualityGuide, QualityPredictor  # noqa: E402

NAME = "Dataset999_Discs"


def make_up(folder: Path) -> None:
    rng, at = np.random.default_rng(0), np.indices((6, 64, 64))
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True)
    for k in range(6):
        (y, x), radius = rng.uniform(20, 44, 2), rng.uniform(6, 14)
        label = ((at[1] - y) ** 2 + (at[2] - x) ** 2 < radius**2).astype(np.uint8)
        image = (label + rng.normal(0, 0.3, label.shape)).astype(np.float32)
        for array, path in ((image, f"imagesTr/case{k}_0000"), (label, f"labelsTr/case{k}")):
            nibabel.save(nibabel.Nifti1Image(array.T, np.eye(4)), folder / f"{path}.nii.gz")
    about = {"channel_names": {"0": "MRI"}, "labels": {"background": 0, "disc": 1}, "numTraining": 6}
    (folder / "dataset.json").write_text(json.dumps(about | {"file_ending": ".nii.gz"}))


def trainer_of(plans: dict, about: dict, goes_on: bool):
    spec = importlib.util.spec_from_file_location("example", example)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    given = plans | {"continue_training": goes_on}
    made = module.nnUNetTrainerQualityGuided(given, "2d", 0, about, torch.device("cpu"))
    made.num_epochs, made.num_iterations_per_epoch, made.num_val_iterations_per_epoch = 2, 3, 1
    made.save_every = 1
    return made


def main() -> None:
    torch.set_num_threads(1)
    make_up(root / "raw" / NAME)
    from nnunetv2.experiment_planning.plan_and_preprocess_api import extract_fingerprints, plan_experiments, preprocess

    extract_fingerprints([999], num_processes=1)
    plan_experiments([999])
    preprocess([999], configurations=("2d",), num_processes=(1,))
    file = QualityPredictor("small", options={"features": [8]}, in_channels=1).save(root / "quality.safetensors")
    names = root / "unlabelled.txt"
    names.write_text("case0 case1 case2 case3")
    os.environ |= {"QGSSL_PREDICTOR": str(file), "QGSSL_UNLABELLED": str(names), "nnUNet_n_proc_DA": "0"}
    plans, about = (
        json.loads((root / "preprocessed" / NAME / part).read_text()) for part in ("nnUNetPlans.json", "dataset.json")
    )
    first = trainer_of(plans, about, False)
    first.num_epochs = 1
    first.run_training()
    assert all(torch.isfinite(p).all() for p in first.network.parameters())
    checkpoint = Path(first.output_folder) / "checkpoint_final.pth"

    second = trainer_of(plans, about, True)
    second.initialize()
    second.load_checkpoint(str(checkpoint))
    second.on_train_start()
    for taught, mine in zip(second.teacher.parameters(), second.network.parameters()):
        assert torch.equal(taught, mine), "the teacher begins with what was loaded"
    seen, weigh = [], QualityGuide.weights
    QualityGuide.weights = lambda self, images, masks: seen.append(weigh(self, images, masks)) or seen[-1]
    second.run_training()
    assert seen, "no unlabelled case was drawn"
    assert all(torch.isfinite(w).all() for w in seen)
    print(second.current_epoch, "epochs")


if __name__ == "__main__":
    main()
