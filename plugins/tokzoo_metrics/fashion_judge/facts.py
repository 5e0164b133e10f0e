"""What is known of the judge's files without torch: their hashes, and how well the judge does."""

import functools
import hashlib
import json
from pathlib import Path
from typing import Any

import tokzoo

HERE = Path(__file__).parent
FACTS = HERE / "judge.json"
WEIGHTS = HERE / "judge.safetensors"
REFERENCE = HERE / "reference.safetensors"


@functools.cache
def facts() -> dict[str, Any]:
    """What the script noted: the files' SHA-256, the judge's accuracy, the floor of the Fréchet distance."""
    found: dict[str, Any] = json.loads(FACTS.read_text())
    return found


def verified(path: Path) -> bytes:
    """The content of one of the judge's files.

    Raises:
        tokzoo.TokzooError: it is not the content whose hash was noted.
    """
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != facts()["sha256"][path.name]:
        raise tokzoo.TokzooError(f"{path} is not the file noted in {FACTS.name}; reinstall tokzoo")
    return content
