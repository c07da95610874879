"""The kernels of every operation: ``reference`` defines them, ``native``, ``cuda``, ``triton`` are faster."""
