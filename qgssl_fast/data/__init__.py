"""Data sets: readers, checks, the store on the device, and the built-in phantoms."""

from qgssl_fast.data.checks import Conventions, Fault, check_dataset
from qgssl_fast.data.layout import Case, Dataset
from qgssl_fast.data.phantoms import PhantomStyle, make_phantoms
from qgssl_fast.data.readers import read_dataset
from qgssl_fast.data.store import DeviceStore, estimate_bytes, load_stores

__all__ = [
    "Case",
    "Conventions",
    "Dataset",
    "DeviceStore",
    "Fault",
    "PhantomStyle",
    "check_dataset",
    "estimate_bytes",
    "load_stores",
    "make_phantoms",
    "read_dataset",
]
