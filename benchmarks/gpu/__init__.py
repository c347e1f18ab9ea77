"""What one card does with Cosmos 3 Nano: its ceilings, its kernels, denoising and decoding, next to diffusers.

`python -m benchmarks.gpu` runs a list of items until a deadline and rewrites its results file after each. It needs no
checkpoint, no Ray and no network: the weights are drawn on the card.
"""
