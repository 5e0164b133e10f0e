"""Splits, the order of batches, and what happens to images on the device. Seeds and configs here import no torch."""
