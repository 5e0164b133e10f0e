"""Building blocks that components share: convolutions, norms, attention, transformer layers, positions."""
