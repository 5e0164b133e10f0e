"""Metrics: what a tokenizer's images, codes, AR losses and modules are judged by."""
