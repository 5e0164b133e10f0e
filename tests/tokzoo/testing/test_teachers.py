"""The checks of teachers beside the planted faults: what passes, what is tried with what, what is not tried."""

import pytest
from kit import Kit

from tokzoo.testing.subject import CannotBuild

KIT = Kit("teacher")


def test_missing_weights_are_no_fault(tmp_path):
    lost = KIT.subject("timm", model="vit_tiny_patch16_224", weights=str(tmp_path / "none.safetensors"))
    with pytest.raises(CannotBuild, match="there is no file"):
        KIT.run("features_are_as_promised", lost)
