"""Run by test_nvrtc.py: compiles what it reads by NVRTC, without a driver, and prints the size of the machine code.

python nvrtc.py KERNEL OPTIONS... < SOURCE
"""

from __future__ import annotations

import sys

from cuda.bindings import nvrtc


def checked(result, program=None):
    status, *values = result
    if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        text = b""
        if program is not None:
            size = checked(nvrtc.nvrtcGetProgramLogSize(program))
            text = b" " * size
            checked(nvrtc.nvrtcGetProgramLog(program, text))
        raise SystemExit(f"{status}: {text.decode(errors='replace')}")
    return values[0] if values else None


kernel, *options = (word.encode() for word in sys.argv[1:])
program = checked(nvrtc.nvrtcCreateProgram(sys.stdin.buffer.read(), kernel, 0, [], []))
checked(nvrtc.nvrtcCompileProgram(program, len(options), options), program)
cubin = b" " * checked(nvrtc.nvrtcGetCUBINSize(program))
checked(nvrtc.nvrtcGetCUBIN(program, cubin))
assert kernel in cubin
print(len(cubin))
