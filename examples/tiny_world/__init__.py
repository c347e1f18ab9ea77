"""A world of coloured shapes on a plain ground, small enough to train a tiny Cosmos 3 on a laptop.

Everything is a function of a typed value (`scenes.scene.Scene`, `agent.simulator.State`) or of a seed. numpy computes;
no module here imports torch. `measure` reads back what a clip shows, without a model. `docs/tiny-world.md` has more.

Lengths are in heights of the frame: x goes from 0 at the left to `width / height` at the right, y from 0 at the top to
1 at the bottom. Times are in seconds from the first frame.
"""
