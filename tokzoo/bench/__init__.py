"""Cells, their stages, the cache they share, and the processes that run them."""
