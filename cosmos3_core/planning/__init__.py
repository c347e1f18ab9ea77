"""What a checkpoint needs and takes on given cards: memory, FLOPs, seconds, and a plan made from them."""
