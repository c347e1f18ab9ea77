"""Convert between media and latents with diffusers' and transformers' modules: VAE, sound tokenizer, ViT."""
