"""The public operations. Each checks its input, asks ``backend`` for a kernel and is a ``torch.library`` operator."""
