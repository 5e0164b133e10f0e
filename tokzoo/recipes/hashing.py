"""Content hashes of JSON values: the same content has the same hash on any machine."""

import hashlib
import json
from typing import Any

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical(value: Any) -> str:
    """JSON with sorted keys, no white space and no NaN: one text for one value."""
    return _ENCODER.encode(value)


def content_hash(value: Any, length: int = 16) -> str:
    """The first ``length`` hexadecimal digits of the SHA-256 of the canonical JSON."""
    return text_hash(canonical(value), length)


def text_hash(text: str, length: int = 16) -> str:
    """The first ``length`` hexadecimal digits of the SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:length]
