"""Other people's media files, decoded in processes that can do nothing else and may die."""
