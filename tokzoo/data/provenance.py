"""What the bits of trained weights depend on beside the script that made them."""

import hashlib
import platform
from pathlib import Path

import torch


def made_with() -> dict[str, str]:
    """The torch version and the kind of processor (its instruction set, and a hash of its model).

    Where these are the same, a deterministic script on one thread makes the same bits.
    """
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text(encoding="utf-8").splitlines() if listing.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    model = models[0] if models else platform.processor() or platform.machine()
    digest = hashlib.sha256(model.encode()).hexdigest()[:12]
    return {"torch": torch.__version__, "cpu": f"{torch.backends.cpu.get_cpu_capability()} {digest}"}
