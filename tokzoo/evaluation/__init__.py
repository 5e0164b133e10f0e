"""Judging: metrics run over a split, codes extracted, and the statistics of several seeds."""
