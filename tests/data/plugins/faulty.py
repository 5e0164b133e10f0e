"""A plugin file that brings all of ``planted``, which lies beside it: faults for the conformance kit to find."""

import importlib
import sys
from pathlib import Path

import tokzoo

sys.path.append(str(Path(__file__).parent))
KINDS = (
    *("encoders", "quantizers", "decoders", "regularizers", "ar_models"),
    *("datasets", "teachers", "metrics", "executors"),
)


@tokzoo.hookimpl
def tokzoo_components():
    for kind in KINDS:
        importlib.import_module(f"planted.{kind}")
    return importlib.import_module("planted.offering").OFFERED
