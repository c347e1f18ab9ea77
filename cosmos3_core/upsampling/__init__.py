"""Prompt upsampling: a Reasoner writes the structured prompt that the Generator was trained on (spec 4.8)."""
