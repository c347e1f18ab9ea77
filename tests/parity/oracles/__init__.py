"""The references: diffusers, and what is composed around it for modes that it lacks. They share no code with ours."""
