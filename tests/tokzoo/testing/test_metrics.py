"""The checks of metrics beside the planted faults: what passes, what is tried with what, what is not tried."""

from dataclasses import replace

import pytest
from kit import Kit

from tokzoo.contracts.specs import ImageSpec
from tokzoo.registry.catalogue import Catalogue
from tokzoo.testing import metric_settings
from tokzoo.testing.subject import CannotBuild

KIT = Kit("metric")


def test_a_metric_of_one_dataset_is_tried_on_its_images():
    place = metric_settings.setting(KIT.subject("sample-accuracy"))
    assert place.chain.image == ImageSpec(1, (32, 32))
    assert place.chain.classes == 10


def test_a_metric_whose_dataset_is_unknown_is_not_tried():
    alone = replace(KIT.subject("sample-accuracy"), catalogue=Catalogue())
    with pytest.raises(CannotBuild, match="means something on fashion alone, and no such dataset is here"):
        KIT.run("numbers_are_those_declared", alone)
