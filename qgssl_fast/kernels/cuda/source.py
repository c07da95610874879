"""The CUDA sources as run-time compilers take them: one text a file, with everything that it includes."""

from __future__ import annotations

import re
from pathlib import Path

from ...errors import InputError

_PACKAGE = Path(__file__).resolve().parents[2]
_INCLUDE = re.compile(r'^\s*#include "(.+)"\s*$')
# Where a kernel is, and what its file is compiled with; CuPy adds DEFAULT_DEVICE, which NVRTC 12 takes once only.
FILES = {f"qg_{stem}": f"cuda/{stem}.cu" for stem in ("affine", "corrupt", "elastic", "morph", "overlap")}
OPTIONS = ("-std=c++17", "-DQG_NAMESPACE=qg_cuda")
DEFAULT_DEVICE = "--device-as-default-execution-space"


def root() -> Path:
    """The folder of the sources: installed with the package, or the checkout's."""
    for folder in (_PACKAGE / "csrc", _PACKAGE.parent / "csrc"):
        if (folder / "cuda" / "corrupt.cu").is_file():
            return folder
    raise InputError(f"the CUDA sources are neither in {_PACKAGE / 'csrc'} nor in {_PACKAGE.parent / 'csrc'}")


def text_of(kernel: str) -> str:
    """The file of `kernel`, each header in the place where it is first included."""
    seen: set[Path] = set()

    def lines(path: Path) -> list[str]:
        seen.add(path)
        found = [f'#line 1 "{path.name}"']
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            include = _INCLUDE.match(line)
            if include is None:
                found.append("" if line.strip() == "#pragma once" else line)
            elif (header := (path.parent / include[1]).resolve()) in seen or not header.is_file():
                found.append("")  # a header that only the run on a CPU has
            else:
                found += [*lines(header), f'#line {number + 1} "{path.name}"']
        return found

    return "\n".join(lines((root() / FILES[kernel]).resolve())) + "\n"
