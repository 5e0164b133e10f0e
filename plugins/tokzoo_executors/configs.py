"""Configs of executors."""

from pydantic import Field

import tokzoo


class LocalConfig(tokzoo.ExecutorConfig):
    """One process per cell."""

    jobs: int | None = Field(
        None, ge=1, description="cells at a time; null: as many as there are cores, or one where there is a GPU"
    )


class InProcessConfig(tokzoo.ExecutorConfig):
    """No other process."""
