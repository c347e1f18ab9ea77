"""What is said about scenes: captions, negative prompts, questions with their answers."""
