"""The Reasoner stage: chat about text and images, by vLLM."""
