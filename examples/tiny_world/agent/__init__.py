"""A gripper that an agent moves, tasks for it, and an expert that does them."""
