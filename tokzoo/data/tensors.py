"""Tensors in safetensors files that hold the hash of their content: weights, codes and checkpoints.

The file's header has one entry, ``tokzoo``: a JSON object with what the file is said to be, and ``sha256``: the hash of
that and of every tensor's name, type, shape and bytes. One entry, because safetensors writes several in random order.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from tokzoo.data.checked_json import CHECKSUM, NotAsWritten, checksum
from tokzoo.data.files import open_file, reading, write_atomic

HEADER = "tokzoo"


def save_tensors(tensors: Mapping[str, Tensor], path: Path, about: Mapping[str, Any] | None = None) -> None:
    """Write tensors by name to ``path`` in one step, with ``about`` (JSON values) in the file's header.

    Raises:
        OSError, SafetensorError: it cannot be written.
    """
    whole: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        kept = tensor.detach().cpu().contiguous()
        memory = kept.untyped_storage().data_ptr()
        # The format refuses tensors that share memory, as tied weights do: each is written out.
        whole[name] = kept.clone() if memory in seen else kept
        seen.add(memory)
    said = dict(about or {})
    header = {HEADER: json.dumps({**said, CHECKSUM: _checksum(whole, said)})}
    write_atomic(path, lambda temporary: save_file(whole, temporary, metadata=header))


def load_tensors(path: Path, expected: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What :func:`save_tensors` wrote: tensors on the CPU, and what the file says of itself.

    Args:
        path: the file.
        expected: what it ought to be, for the message, such as ``a whole file of weights``.

    Raises:
        TokzooError: it is missing, damaged, or not written by :func:`save_tensors`.
    """
    with reading(path, expected, SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        # safetensors would wait for somebody to write into a pipe.
        open_file(path).close()
        with safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get(HEADER)
            if header is None:
                raise ValueError("it was not written by tokzoo")
            about = json.loads(header)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        if about.pop(CHECKSUM) != _checksum(tensors, about):
            raise NotAsWritten
    return tensors, about


def _checksum(tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> str:
    names = sorted(tensors)
    described = [[name, str(tensors[name].dtype), list(tensors[name].shape)] for name in names]
    digest = hashlib.sha256(checksum([dict(about), described]).encode())
    for name in names:
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
