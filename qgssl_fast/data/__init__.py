"""Data sets: readers, checks, the store on the device, and the built-in phantoms."""

from qgssl_fast.data.checks import check_dataset
from qgssl_fast.data.judge import Conventions, Fault
from qgssl_fast.data.layout import Case, Dataset, looks_volumetric
from qgssl_fast.data.load import load_stores
from qgssl_fast.data.load_shards import load_shards
from qgssl_fast.data.phantoms import PhantomStyle, make_phantoms
from qgssl_fast.data.readers import read_dataset
from qgssl_fast.data.shards import is_sharded, read_index, sample_sides
from qgssl_fast.data.splits import write_splits
from qgssl_fast.data.store import DeviceStore, estimate_bytes
from qgssl_fast.data.tiers import Placement
from qgssl_fast.data.volumes import VolumeOptions, VolumePlan

__all__ = [
    "Case",
    "Conventions",
    "Dataset",
    "DeviceStore",
    "Fault",
    "PhantomStyle",
    "Placement",
    "VolumeOptions",
    "VolumePlan",
    "check_dataset",
    "estimate_bytes",
    "is_sharded",
    "load_shards",
    "load_stores",
    "looks_volumetric",
    "make_phantoms",
    "read_dataset",
    "read_index",
    "sample_sides",
    "write_splits",
]
