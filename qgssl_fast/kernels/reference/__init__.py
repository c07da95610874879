"""The truth: each operation in the shortest torch or numpy that is obviously right; other kernels return its bytes."""
