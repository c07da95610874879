"""Run by test_nvrtc.py: compiles kernels as CuPy does it, options and cache on disk included, without a driver.

python cupy_compiled.py KERNEL...    (CUPY_CACHE_DIR in the environment)
Of CuPy only what asks the driver is put aside: which machine code a device wants, and loading it there.
"""

from __future__ import annotations

import os
import sys

import cupy
from cupy.cuda import compiler

from qgssl_fast.kernels.cuda import source


class Loaded:
    def load(self, code: bytes) -> None:
        self.code = code

    def _set_mapping(self, names: object) -> None:
        pass


def compiled(name: str, architecture: str) -> bytes:
    module = compiler._compile_module_with_cache(source.text_of(name), source.OPTIONS, arch=architecture)
    return module.code


compiler._get_arch_for_options_for_nvrtc = lambda arch=None: (f"-arch=sm_{arch}", "cubin")
compiler.function = type("function", (), {"Module": Loaded})
plain, given = compiler._NVRTCProgram.compile, []


def compile_noted(program, options=(), *rest):
    given.append(options)
    return plain(program, options, *rest)


compiler._NVRTCProgram.compile = compile_noted
wanted = [(name, architecture) for name in sys.argv[1:] for architecture in ("80", "90")]
first = [compiled(*one) for one in wanted]
for (name, _), code in zip(wanted, first):
    assert code.startswith(b"\x7fELF"), name
    assert name.encode() in code, name
whole = [options for options in given if not any("compute_" in option for option in options)]  # not of its version
assert len(whole) == len(wanted)
for options in whole:  # NVRTC 12 takes it once, in either spelling
    assert [o for o in options if o in (source.DEFAULT_DEVICE, "-default-device")] == [source.DEFAULT_DEVICE], options
kept = os.listdir(os.environ["CUPY_CACHE_DIR"])
assert len(kept) == len(wanted), kept


def refused(*_: object, **__: object) -> None:
    raise AssertionError("compiled again, though it is on disk")


compiler._compile_using_nvrtc_no_warning = compiler.compile_using_nvrtc = refused
assert [compiled(*one) for one in wanted] == first
print(cupy.__version__, *compiler._get_nvrtc_version(), *(len(code) for code in first))
