"""Regularizers of general use: pixel distances and assignment entropy."""
