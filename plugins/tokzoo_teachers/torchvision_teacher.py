"""Teachers from torchvision: the activations of a supervised network at a node of its graph.

Such features are what perceptual losses compare (arXiv 1603.08155) and LPIPS reads (1801.03924). Images are resized,
then normalised as the weights were trained.
"""

import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from tokzoo import ImageSpec
from tokzoo.contracts.errors import TokzooError, suggest
from tokzoo_teachers.pretrained import PretrainedTeacher, check_grid, did_you_mean, from_file, from_hub
from tokzoo_teachers.torchvision_config import TorchvisionConfig

WHO = "teacher 'torchvision':"


class TorchvisionTeacher(PretrainedTeacher):
    """What the network computes at the node: a map ``[B, D, h, w]``, or patch tokens after a class token, if any.

    Raises:
        TokzooError: torchvision does not know the model, its node or its weights, or the features are not what the
            config promises.
    """

    def __init__(self, config: TorchvisionConfig, image: ImageSpec) -> None:
        about = known(config)
        preset = about.transforms()
        super().__init__(config, image, shape_of(config, image), preset.mean, preset.std)
        self.positions = config.hidden_spec(image).positions

    def pretrained(self) -> nn.Module:
        """The network up to its node, with its weights."""
        config, about = self.config, known(self.config)

        def make(stored: dict[str, Tensor]) -> nn.Module:
            network = models.get_model(config.model, weights=None)
            network.load_state_dict(stored)
            return _up_to_node(network, config.node)

        if config.weights is None:
            return from_hub(
                WHO, config, about.url, lambda: make(dict(about.get_state_dict(progress=False, check_hash=True)))
            )
        return from_file(WHO, config, about.url, make)

    def tokens(self, pixels: Tensor) -> Tensor:
        """The features at the node."""
        found = self.network(pixels)[self.config.node]
        return found.flatten(2).transpose(1, 2) if found.ndim == 4 else found[:, -self.positions :]


def known(config: TorchvisionConfig) -> models.WeightsEnum:
    """The weights by their tag.

    Raises:
        TokzooError: torchvision knows no such model, or no such weights of it.
    """
    names = models.list_models(module=models)
    if config.model not in names:
        hint = did_you_mean(config.model, names, "torchvision.models.list_models() gives their names")
        raise TokzooError(f"{WHO} torchvision knows no model {config.model!r}; {hint}")
    tags = models.get_model_weights(config.model).__members__
    if config.pretrained not in tags:
        hint = suggest(config.pretrained, tags)
        raise TokzooError(f"{WHO} torchvision knows no weights {config.pretrained!r} of {config.model}; {hint}")
    return tags[config.pretrained]


def shape_of(config: TorchvisionConfig, image: ImageSpec) -> nn.Module:
    """The network up to its node, on the meta device.

    Raises:
        TokzooError: it has no such node or does not take images of the size, or its features are not as promised.
    """
    promised = config.hidden_spec(image)
    with torch.device("meta"), torch.no_grad():
        network = models.get_model(config.model, weights=None)
        try:
            part = _up_to_node(network, config.node)
        except ValueError as error:
            raise TokzooError(f"{WHO} {config.model} has no node {config.node!r}; {_near(network, config)}") from error
        size = config.image_size
        try:
            shape = tuple(part(torch.empty(1, 3, size, size))[config.node].shape)
        except (AssertionError, RuntimeError) as error:
            raise TokzooError(f"{WHO} {config.model} takes no images of {size}×{size}: {error}") from error
    if len(shape) == 4:
        check_grid(WHO, config, image, shape[2:], size // shape[2], shape[1])
    elif len(shape) != 3 or shape[1] - promised.positions not in (0, 1) or shape[2] != promised.dim:
        cells, dim = "×".join(map(str, promised.shape)), promised.dim
        raise TokzooError(
            f"{WHO} {config.named} gives features of the shape {list(shape[1:])}, which are not {dim} channels in a "
            f"{cells} grid: choose another node, or set stride and dim"
        )
    return part


def _near(network: nn.Module, config: TorchvisionConfig) -> str:
    """The nearest node, in words: a module's name stands for the last node in it."""
    paths = [name.split(".") for name in get_graph_node_names(network.eval())[1]]
    names = {".".join(path[:depth]) for path in paths for depth in range(1, len(path) + 1)}
    parts = ", ".join(dict.fromkeys(path[0] for path in paths))
    return did_you_mean(config.node, sorted(names), f"its parts are {parts}")


def _up_to_node(network: nn.Module, node: str) -> nn.Module:
    """Everything the node needs and nothing else; traced in eval mode, in which a teacher stays."""
    return create_feature_extractor(network.eval(), return_nodes=[node])
