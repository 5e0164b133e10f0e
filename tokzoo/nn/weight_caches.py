"""Where libraries keep the weights they fetched. No torch here, and nothing is fetched."""

import os
from pathlib import Path


def torch_checkpoint(file: str) -> Path:
    """Where torch.hub and torchvision keep a file of weights, there or not."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return Path(os.environ.get("TORCH_HOME", f"{cache}/torch")).expanduser() / "hub" / "checkpoints" / file


def in_hugging_face_cache(repository: str, *files: str) -> bool:
    """Whether one of some files of a repository of the Hugging Face hub was fetched before."""
    from huggingface_hub import try_to_load_from_cache

    return any(isinstance(try_to_load_from_cache(repository, file), str) for file in files)


def to_be_fetched(source: str, field: str = "weights") -> str:
    """How a config says that its weights are not here: by the file, in words, and the field that takes its path."""
    return f"weights are fetched when they are needed: {source}; or set {field} to its path"
