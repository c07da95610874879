"""What our operations cost beside what people use in their place, and beside a copy of the same bytes.

A *case* (``case.py``) is one amount of work; its contenders are ours, peers (each is left out, with the reason, where
its package is not installed) and a limit. ``measure.py`` checks what each gives, then times them in turns; nothing that
gives a wrong result is timed. The modules named after families hold the cases; the command ``bench`` and the
repository's benchmarks/ measure them.
"""
