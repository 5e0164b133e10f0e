"""What this plugin registers."""

import tokzoo
from tokzoo_teachers.configs import FashionTeacherConfig
from tokzoo_teachers.timm_config import TimmConfig


@tokzoo.hookimpl
def tokzoo_components() -> list[tokzoo.ComponentSpec]:
    """The teachers."""
    return [
        tokzoo.ComponentSpec(
            kind="teacher",
            name="fashion",
            config=FashionTeacherConfig,
            target="tokzoo_teachers.fashion.teacher:FashionTeacher",
            summary="a small convolutional network that learned from Fashion-MNIST without labels, by contrast",
            paper="arXiv 2002.05709, 2210.01571",
            weights_license="MIT",
        ),
        tokzoo.ComponentSpec(
            kind="teacher",
            name="timm",
            config=TimmConfig,
            target="tokzoo_teachers.timm_teacher:TimmTeacher",
            summary="patch tokens of a pretrained vision transformer of timm, DINOv2 by default",
            paper="arXiv 2304.07193 (DINOv2)",
            example={"model": "vit_tiny_patch16_224"},
        ),
    ]
