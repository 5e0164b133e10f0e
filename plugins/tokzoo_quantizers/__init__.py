"""Quantizers: from latents to codes and back."""
