"""What this plugin registers."""

import tokzoo


@tokzoo.hookimpl
def tokzoo_components() -> list[tokzoo.ComponentSpec]:
    """The executors."""
    return [
        tokzoo.ComponentSpec(
            kind="executor",
            name="local",
            config="tokzoo_executors.configs:LocalConfig",
            target="tokzoo_executors.local:Local",
            summary="one process per cell on this machine, some at a time; they end with the command",
        ),
        tokzoo.ComponentSpec(
            kind="executor",
            name="in-process",
            config="tokzoo_executors.configs:InProcessConfig",
            target="tokzoo_executors.in_process:InProcess",
            summary="one cell after the other in this process: for components that no other process could build",
        ),
    ]
