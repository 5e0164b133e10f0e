"""Autoregressive models of visual codes."""
