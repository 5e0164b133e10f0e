"""What this plugin registers."""

from pathlib import Path

import tokzoo


@tokzoo.hookimpl
def tokzoo_components() -> list[tokzoo.ComponentSpec]:
    """The datasets."""
    return [
        tokzoo.ComponentSpec(
            kind="dataset",
            name="fashion",
            config="tokzoo_data.configs:FashionConfig",
            target="tokzoo_data.fashion.dataset:Fashion",
            summary="Fashion-MNIST padded to 32×32: 12,000 + 2,000 images that come along, or all 60,000 + 10,000",
            paper="arXiv 1708.07747",
        ),
        tokzoo.ComponentSpec(
            kind="dataset",
            name="images",
            config="tokzoo_data.configs:ImagesConfig",
            target="tokzoo_data.images.dataset:Images",
            summary="Any folder of images: class = folder, or none; a validation split by folder or by hash",
            example={"root": "images"},
        ),
        tokzoo.ComponentSpec(
            kind="dataset",
            name="live-images",
            config="tokzoo_data.configs:LiveImagesConfig",
            target="tokzoo_data.live.dataset:LiveImages",
            summary="Millions of pictures, in class folders as ImageNet or WebDataset shards, decoded while one trains",
        ),
    ]


@tokzoo.hookimpl
def tokzoo_tracks() -> Path:
    """The tracks judged on these datasets."""
    return Path(__file__).parent / "tracks"
