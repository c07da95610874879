"""The folders of published data sets as their publishers ship them: which image has which mask, and of which lesion."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from qgssl_fast.data.layout import SUFFIXES
from qgssl_fast.errors import Faults

# The first frame of each of CVC-ClinicDB's 29 sequences, which are numbered through (Bernal et al. 2015).
CLINICDB_STARTS = (
    1, 26, 51, 68, 79, 104, 127, 152, 178, 200, 206, 228, 253, 278, 298, 318, 343, 364, 384, 409, 429, 448, 467, 479,
    504, 529, 547, 572, 592,
)  # fmt: skip
# The split of PH2 in arXiv 2606.01753; what is in neither list is for training.
PH2_VAL = frozenset("002 015 031 058 152 157 199 243 251 254 331 364 383 385 390 392 395 405 407 419".split())  # noqa: SIM905
PH2_TEST = frozenset(
    [
        "003",
        "008",
        "019",
        "020",
        "032",
        "037",
        "039",
        "064",
        "076",
        "080",
        "091",
        "105",
        "112",
        "120",
        "126",
        "144",
        "146",
        "159",
        "160",
        "162",
        "164",
        "171",
        "198",
        "210",
        "226",
        "278",
        "284",
        "349",
        "365",
        "367",
        "368",
        "371",
        "380",
        "393",
        "396",
        "402",
        "413",
        "424",
        "427",
        "429",
    ]
)
COLONDB_BLOCK = 20  # frames; the folder does not tell where a sequence ends
IDS = ("image_name", "image_id", "isic_id", "image")
OWNERS = ("patient_id", "lesion_id")


@dataclass(frozen=True)
class Pair:
    """One image of a published set. split: where the publisher or the paper puts it; None: seeded, by group."""

    name: str
    image: Path
    mask: Path | None = None
    group: str | None = None
    split: str | None = None


def images(folder: Path) -> Iterator[Path]:
    """All image files below, sorted; nothing hidden."""
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES and not any(p.startswith(".") for p in path.relative_to(folder).parts):
            yield path


def ph2(source: Path, faults: Faults) -> list[Pair]:
    pairs = []
    for path in images(source):
        if not path.parent.name.endswith("_Dermoscopic_Image"):
            continue
        name = path.stem
        mask = path.parent.parent / f"{name}_lesion" / f"{name}_lesion{path.suffix}"
        number = name.removeprefix("IMD")
        split = "val" if number in PH2_VAL else "test" if number in PH2_TEST else "train"
        pairs += _pair(name, path, mask, None, faults, source, split)
    return pairs


def scd(source: Path, faults: Faults) -> list[Pair]:
    pairs = []
    for path in images(source):
        if path.stem.endswith("_orig"):
            name = path.stem.removesuffix("_orig")
            mask = path.with_name(f"{name}_contour.png")
            pairs += _pair(name, path, mask, re.sub(r"-\d+$", "", name), faults, source)
    return pairs


def dermofit(source: Path, faults: Faults) -> list[Pair]:
    pairs = []
    for path in images(source):
        if not path.stem.endswith("mask"):
            lesion = re.sub(r"[a-z]$", "", path.stem)
            pairs += _pair(path.stem, path, path.with_name(f"{path.stem}mask{path.suffix}"), lesion, faults, source)
    return pairs


def clinicdb(source: Path, faults: Faults) -> list[Pair]:
    pairs = []
    for path in images(source / "Original"):
        frame = int(path.stem) if path.stem.isdigit() else 0
        sequence = sum(start <= frame for start in CLINICDB_STARTS)
        mask = source / "Ground Truth" / path.relative_to(source / "Original")
        pairs += _pair(path.stem, path, mask, f"sequence {sequence}", faults, source)
    return pairs


def colondb(source: Path, faults: Faults) -> list[Pair]:
    pairs = []
    beside = (source / "images").is_dir()
    for path in images(source / "images" if beside else source):
        if not beside and path.stem.startswith("p"):
            continue
        mask = source / "masks" / path.name if beside else path.with_name(f"p{path.name}")
        frame = int(path.stem) if path.stem.isdigit() else 0
        group = f"frames {(frame - 1) // COLONDB_BLOCK * COLONDB_BLOCK + 1} on"
        pairs += _pair(path.stem, path, mask, group, faults, source)
    return pairs


def isic(source: Path, faults: Faults) -> list[Pair]:
    """ISIC_*.jpg, masks *_segmentation.png anywhere; patients and lesions from any CSV that names them."""
    owners = _owners(source)
    masks = {path.stem.removesuffix("_segmentation"): path for path in source.rglob("*_segmentation.png")}
    pairs = []
    for path in images(source):
        if path.stem.startswith("ISIC_") and not path.stem.endswith(("_segmentation", "_superpixels")):
            pairs.append(Pair(path.stem, path, masks.get(path.stem), owners.get(path.stem)))
    named = {pair.name for pair in pairs}
    for name, path in masks.items():
        if name not in named:
            faults.add(f"{path.relative_to(source).as_posix()}: mask without image ({name}.jpg)")
    return pairs


def by_folder(source: Path, faults: Faults) -> list[Pair]:
    """images/ and masks/ with equal names, also in folders of a sequence each; an image without mask is unlabelled."""
    pairs = []
    masks = {path.relative_to(source / "masks").with_suffix(""): path for path in images(source / "masks")}
    for path in images(source / "images"):
        inside = path.relative_to(source / "images")
        group = inside.parent.as_posix() if len(inside.parts) > 1 else None
        name = inside.with_suffix("").as_posix().replace("/", "_")
        pairs.append(Pair(name, path, masks.pop(inside.with_suffix(""), None), group))
    for path in masks.values():
        faults.add(f"{path.relative_to(source).as_posix()}: mask without image")
    return pairs


def _pair(
    name: str, image: Path, mask: Path, group: str | None, faults: Faults, source: Path, split: str | None = None
) -> list[Pair]:
    if mask.is_file():
        return [Pair(name, image, mask, group, split)]
    where = image.relative_to(source).as_posix()
    faults.add(f"{where}: image without mask (wanted {mask.relative_to(source).as_posix()})")
    return []


def _owners(source: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for path in sorted(source.glob("*.csv")):
        with path.open(encoding="utf-8-sig", newline="", errors="replace") as stream:
            reader = csv.DictReader(stream)
            columns = reader.fieldnames or []
            name, owner = (next((c for c in wanted if c in columns), None) for wanted in (IDS, OWNERS))
            if name and owner:
                found |= {row[name]: row[owner] for row in reader if row[name] and row[owner]}
    return found


Read = Callable[[Path, Faults], list[Pair]]
SETS: dict[str, tuple[Read, str, str]] = {
    "ph2": (ph2, "IMD002/IMD002_Dermoscopic_Image/IMD002.bmp, IMD002/IMD002_lesion/IMD002_lesion.bmp", "the paper's"),
    "scd": (scd, "*_orig.jpg, *_contour.png", "seeded, by lesion"),
    "dermofit": (dermofit, "CLASS/.../P354a.png, P354amask.png", "seeded, by lesion"),
    "cvc-colondb": (colondb, "images/1.png, masks/1.png; or 1.bmp, p1.bmp", "seeded, by blocks of 20 frames"),
    "cvc-clinicdb": (clinicdb, "Original/1.tif, Ground Truth/1.tif", "seeded, by sequence"),
    "isic2018": (isic, "ISIC_*.jpg, ISIC_*_segmentation.png", "seeded, by patient or lesion where a CSV tells them"),
    "isic2020": (isic, "ISIC_*.jpg (no masks: a pool)", "all unlabelled"),
    "kvasir-seg": (by_folder, "images/*.jpg, masks/*.jpg", "seeded"),
    "polyp-box-seg": (by_folder, "images/, masks/; images without mask are a pool", "seeded, by sequence folder"),
}
"""Name -> how it is read, the layout, the split."""
