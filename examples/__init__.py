"""Programs to read and run, and the pictures, clips and prompts they use."""
