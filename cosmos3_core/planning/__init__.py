"""Memory, FLOPs and seconds of a checkpoint on given cards, and a plan made from them."""
