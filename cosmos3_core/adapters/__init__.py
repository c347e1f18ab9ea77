"""Adapters of the generation tower (LoRA): what a request may ask for, how their files are read, how they apply."""
