"""The Reasoner's workflows: a question about an image or a video as a chat request, and its answer as a typed value.

`table` lists them. `chat` makes the request, `parsing` reads the answer, `annotate` draws it.
"""
