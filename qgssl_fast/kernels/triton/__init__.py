"""Triton kernels, for CUDA tensors where the CUDA kernels are not built."""
