"""Between media and latents: VAE, sound tokenizer, ViT, pixels. diffusers' and transformers' modules, fed."""
