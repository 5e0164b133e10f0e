"""Configs of the teachers, and the features they promise. No torch here."""

import tokzoo

FASHION_IMAGE = tokzoo.ImageSpec(1, (32, 32))
FASHION_GRID = (4, 4)
FASHION_DIM = 128


class FashionTeacherConfig(tokzoo.TeacherConfig):
    """The teacher of Fashion-MNIST that comes along. It has nothing to choose."""

    def hidden_spec(self, image: tokzoo.ImageSpec) -> tokzoo.HiddenSpec:
        """A 4×4 grid of features of an image of one channel of 32×32."""
        if image != FASHION_IMAGE:
            raise tokzoo.Refusal(f"has learned from a {FASHION_IMAGE}, and this is a {image}; use another teacher")
        return tokzoo.HiddenSpec(FASHION_GRID, FASHION_DIM)
