"""Plugins as an installer would leave them: a module and the metadata that names it, in a folder for PYTHONPATH."""

from pathlib import Path

METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"


def install(site: Path, name: str, source: str, version: str = "1.0") -> None:
    """Install a plugin of one module."""
    module = f"plugin_{name.replace('-', '_')}"
    register(site, name, {name: module}, version)
    (site / f"{module}.py").write_text(source, encoding="utf-8")


def register(site: Path, distribution: str, points: dict[str, str], version: str = "1.0") -> None:
    """Write the metadata by which a distribution and its entry points are found."""
    about = site / f"{distribution.replace('-', '_')}-1.0.dist-info"
    about.mkdir(parents=True, exist_ok=True)
    (about / "METADATA").write_text(METADATA.format(name=distribution, version=version), encoding="utf-8")
    lines = [f"{name} = {module}\n" for name, module in points.items()]
    (about / "entry_points.txt").write_text("".join(["[tokzoo]\n", *lines]), encoding="utf-8")


def install_quantizer(site: Path, name: str) -> None:
    """Install a plugin that offers one quantizer, as a third party would write it (its class is missing)."""
    install(site, name, PLUGIN.format(name=name))
    (site / f"plugin_{name}_configs.py").write_text(CONFIG, encoding="utf-8")


PLUGIN = '''"""A plugin."""

import tokzoo

TOKZOO_API = ((0, 2), (0, 2))


@tokzoo.hookimpl
def tokzoo_components():
    return [
        tokzoo.ComponentSpec(
            kind="quantizer",
            name="third/{name}",
            config="plugin_{name}_configs:Config",
            target="plugin_{name}_modules:Quantizer",
            summary="a quantizer",
        )
    ]
'''
CONFIG = '''"""Its config."""

from pydantic import Field

import tokzoo


class Config(tokzoo.QuantizerConfig):
    """A quantizer's fields."""

    codes: int = Field(512, gt=1, description="size of the codebook")
    dim: int = Field(8, gt=0, description="channels")
    commitment: float = Field(0.25, ge=0, description="weight of the commitment loss")
    temperature: float = Field(1.0, gt=0, description="of the assignment")
    l2_norm: bool = Field(True, description="compare directions")

    def wants(self, layout):
        return self.dim

    def code_spec(self, latent):
        return tokzoo.CodeSpec(latent.shape, (self.codes,))
'''
