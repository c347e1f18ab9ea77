"""The stages of a generation as plain classes: Understanding, Encoder, Denoiser, Decoder.

Each holds only its own weights. Their borders are the borders of the serving graph: token keys and values, latents
and numbers cross them, frames never do. `local` composes them in one process; a graph places them apart.
"""
