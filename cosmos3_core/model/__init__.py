"""The two towers and what they are made of. No weights on disk, no sampler, no parallelism."""
