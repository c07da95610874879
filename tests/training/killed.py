"""A training run that dies at a given moment, for test_killed.py: run_path with WORDS, AT, AFTER, SAID and COUNT.

It dies AFTER seconds after the AT-th change of a file's name or content that Python makes (0: never), as by kill -9:
SIGALRM's default action ends a process at once, wherever it is, and nothing is cleaned up. COUNT: where to write the
number of changes.
"""

import os
import signal
import sys

import torch

changes = 0


def count(event, arguments):
    global changes
    if event == "open":
        flags = arguments[2]
        if not isinstance(flags, int) or not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            return
    elif event not in ("os.rename", "os.remove", "os.mkdir", "os.rmdir"):
        return
    changes += 1
    if changes == AT:  # noqa: F821
        signal.setitimer(signal.ITIMER_REAL, max(AFTER, 1e-6))  # noqa: F821


said = os.open(SAID, os.O_WRONLY | os.O_CREAT | os.O_APPEND)  # noqa: F821
os.dup2(said, 1)
os.dup2(said, 2)
torch.set_num_threads(1)
sys.addaudithook(count)

from qgssl_fast.cli.main import main  # noqa: E402

code = main(WORDS)  # noqa: F821
if COUNT:  # noqa: F821
    with open(COUNT, "w") as file:  # noqa: F821
        file.write(str(changes))
os._exit(code)
