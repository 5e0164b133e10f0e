"""The quantizer keeps to what every quantizer must keep to."""

import tokzoo.testing


class TestDithered(tokzoo.testing.QuantizerConformance):
    """As a recipe uses it by default."""

    component = "example/dithered"


class TestTwoLevels(tokzoo.testing.QuantizerConformance):
    """The smallest and widest lattice."""

    component = "example/dithered"
    config = {"levels": 2, "dim": 8}  # noqa: RUF012 - read, never changed
