"""Run by test_ranks.py under torchrun: a training in which a signal comes in the fifth step of the weak stage.

python ranks_interrupted.py WHOM WORDS...    WHOM: worker (the second rank alone) or launcher (as Ctrl-C does)
"""

import os
import signal
import sys

from qgssl_fast.cli.main import main
from qgssl_fast.training.engine import Engine

whom, *words = sys.argv[1:]
plain = Engine.take_step


def take_step(self, step):
    if step == 5:
        if whom == "worker" and self.rank == 1:
            os.kill(os.getpid(), signal.SIGINT)
        if whom == "launcher" and self.rank == 0:
            os.kill(os.getppid(), signal.SIGINT)
    return plain(self, step)


Engine.take_step = take_step
sys.exit(main(words))
