"""What this package offers to tokzoo."""

from collections.abc import Sequence

import tokzoo

GIGATOK = "arXiv 2504.08736"
EXAMPLE_TEACHER = {"use": "timm", "model": "vit_tiny_patch16_224"}


@tokzoo.hookimpl
def tokzoo_components() -> Sequence[tokzoo.ComponentSpec]:
    """The regularizers."""
    return (
        tokzoo.ComponentSpec(
            kind="regularizer",
            name="l1",
            config="tokzoo_losses.configs:L1Config",
            target="tokzoo_losses.l1:L1",
            summary="mean absolute error between reconstruction and image",
        ),
        tokzoo.ComponentSpec(
            kind="regularizer",
            name="l2",
            config="tokzoo_losses.configs:L2Config",
            target="tokzoo_losses.l2:L2",
            summary="mean squared error between reconstruction and image",
        ),
        tokzoo.ComponentSpec(
            kind="regularizer",
            name="lpips",
            config="tokzoo_losses.lpips_config:LpipsConfig",
            target="tokzoo_losses.lpips:Lpips",
            summary="distance between reconstruction and image in VGG's features, weighted to agree with people",
            paper="arXiv 1801.03924",
            weights_license="BSD-2-Clause AND BSD-3-Clause",
        ),
        tokzoo.ComponentSpec(
            kind="regularizer",
            name="feature",
            config="tokzoo_losses.configs:FeatureConfig",
            target="tokzoo_losses.feature:FeatureDistance",
            summary="distance between reconstruction and image in a teacher's features",
            paper="arXiv 1603.08155; 1801.03924 (LPIPS)",
            example={"teacher": EXAMPLE_TEACHER},
        ),
        tokzoo.ComponentSpec(
            kind="regularizer",
            name="patchgan",
            config="tokzoo_losses.adversary_configs:PatchGanConfig",
            target="tokzoo_losses.patchgan:PatchGan",
            summary="a convolutional discriminator that judges patches, in alternation with the tokenizer",
            paper="arXiv 1611.07004; 2012.09841 (VQGAN)",
            example={"channels": 8, "start": 0.5},
        ),
        tokzoo.ComponentSpec(
            kind="regularizer",
            name="dinodisc",
            config="tokzoo_losses.adversary_configs:DinoDiscConfig",
            target="tokzoo_losses.dinodisc:DinoDiscriminator",
            summary="a discriminator of trained heads on a frozen DINO transformer",
            paper=f"arXiv 2301.09515 (StyleGAN-T); {GIGATOK} (GigaTok)",
            weights_license="Apache-2.0",
            example={"start": 0.5},
        ),
        tokzoo.ComponentSpec(
            kind="regularizer",
            name="semantic",
            config="tokzoo_losses.configs:SemanticConfig",
            target="tokzoo_losses.semantic:SemanticAlignment",
            summary="the decoder's hidden states aligned with a teacher's features of the image",
            paper=f"arXiv 2410.06940 (REPA); {GIGATOK} section 3.2 (GigaTok)",
            example={"teacher": EXAMPLE_TEACHER, "tap": 2},
        ),
        tokzoo.ComponentSpec(
            kind="regularizer",
            name="shortcut",
            config="tokzoo_losses.configs:ShortcutConfig",
            target="tokzoo_losses.shortcut:Shortcut",
            summary="reconstruction straight from the encoder's feature map, around the quantizer",
            paper=f"{GIGATOK} (GigaTok)",
            example={"stop": 0.5},
        ),
        tokzoo.ComponentSpec(
            kind="regularizer",
            name="entropy",
            config="tokzoo_losses.configs:EntropyConfig",
            target="tokzoo_losses.entropy:AssignmentEntropy",
            summary="each latent's assignment to codes certain, the mean assignment spread over the codebook",
            paper="arXiv 2310.05737; 2504.08736 (GigaTok)",
        ),
    )
