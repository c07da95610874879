"""The kernels of every operation: ``reference`` defines them, ``native`` (C++, CUDA) and ``triton`` are faster."""
