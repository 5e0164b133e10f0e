"""One loop that trains tokenizers and AR models, and can be killed at any moment."""
