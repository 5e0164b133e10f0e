"""GigaTok's tokenizers (arXiv 2504.08736): a CNN and a transformer on each side, over a grid or a sequence."""
