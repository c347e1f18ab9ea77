"""The serving graph: Ray Serve deployments of the stages in `cosmos3_core`, and the command line."""

import gc

# torch, transformers, diffusers and vLLM make many objects that stay. Python's collector, which the number of new
# objects sets off, walks them again and again while they are imported and finds next to nothing: a fifth of an
# import's CPU time.
gc.set_threshold(50_000, 20, 20)
