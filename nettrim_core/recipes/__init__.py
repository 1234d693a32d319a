"""A result as a file: all that made it, and the way to make it again."""
