"""Lets the tests of this folder import ``kit`` and ``faults``, which lie beside them."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
