"""What makes an import slow: the modules a fresh Python spends its time on."""

import re
import subprocess
import sys

LINE = re.compile(r"import time:\s*(\d+) \|\s*(\d+) \| ( *)(\S+)")
SECONDS = 300
"""How long an import may take before it counts as stuck."""


def slowest_imports(module: str, count: int = 3) -> list[tuple[str, float]]:
    """The packages that importing ``module`` spends most time in, with the seconds each takes with all it imports.

    Measured in a fresh process after ``import tokzoo``, so that what every plugin needs anyway does not count. Empty
    where the module cannot be imported.
    """
    command = [sys.executable, "-X", "importtime", "-c", f"import tokzoo.registry.plugins, sys; import {module}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    if done.returncode != 0:
        return []
    found: dict[str, float] = {}
    # A package's own line comes after those of all it imports: the last line of a name is the outermost.
    after = done.stderr.rpartition("tokzoo.registry.plugins\n")[2]
    for _, cumulative, _, name in LINE.findall(after):
        package = name.partition(".")[0]
        found[package] = max(found.get(package, 0.0), int(cumulative) / 1e6)
    own = module.partition(".")[0]
    others = [(name, seconds) for name, seconds in found.items() if name != own]
    return sorted(others, key=lambda pair: -pair[1])[:count]
