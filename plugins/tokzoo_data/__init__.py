"""Datasets, and the tracks that are judged on them."""
