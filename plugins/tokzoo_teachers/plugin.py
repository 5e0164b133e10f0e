"""What this plugin registers."""

import tokzoo


@tokzoo.hookimpl
def tokzoo_components() -> list[tokzoo.ComponentSpec]:
    """The teachers."""
    return [
        tokzoo.ComponentSpec(
            kind="teacher",
            name="fashion",
            config="tokzoo_teachers.configs:FashionTeacherConfig",
            target="tokzoo_teachers.fashion.teacher:FashionTeacher",
            summary="a small convolutional network that learned from Fashion-MNIST without labels, by contrast",
            paper="arXiv 2002.05709, 2210.01571",
            weights_license="MIT",
        ),
        tokzoo.ComponentSpec(
            kind="teacher",
            name="timm",
            config="tokzoo_teachers.timm_config:TimmConfig",
            target="tokzoo_teachers.timm_teacher:TimmTeacher",
            summary="patch tokens of a pretrained vision transformer of timm, DINOv2 by default",
            paper="arXiv 2304.07193 (DINOv2)",
            example={"model": "vit_tiny_patch16_224"},
        ),
        tokzoo.ComponentSpec(
            kind="teacher",
            name="open-clip",
            config="tokzoo_teachers.open_clip_config:OpenClipConfig",
            target="tokzoo_teachers.open_clip_teacher:OpenClipTeacher",
            summary="patch tokens of the visual transformer of CLIP, DFN, SigLIP and others of open_clip",
            paper="arXiv 2103.00020 (CLIP), 2309.17425 (DFN), 2303.15343 (SigLIP)",
            example={"model": "ViT-B-32", "pretrained": "openai"},
        ),
        tokzoo.ComponentSpec(
            kind="teacher",
            name="torchvision",
            config="tokzoo_teachers.torchvision_config:TorchvisionConfig",
            target="tokzoo_teachers.torchvision_teacher:TorchvisionTeacher",
            summary="activations at a node of a convolutional network or transformer of torchvision",
            paper="arXiv 1603.08155; 1801.03924 (LPIPS)",
            example={"model": "resnet18", "node": "layer3"},
        ),
    ]
