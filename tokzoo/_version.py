"""The version of the package, and of the interface plugins are written against."""

__version__ = "0.1.0"

TOKZOO_API = (0, 2)
"""(major, minor). A plugin states the range it was written for as ``TOKZOO_API = ((0, 2), (0, 2))``."""
