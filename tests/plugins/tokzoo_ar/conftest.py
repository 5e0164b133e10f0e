from collections.abc import Callable

import pytest
import torch

import tokzoo
from tokzoo_ar.configs import GPTConfig
from tokzoo_ar.gpt import GPT

CLASSES = 4


@pytest.fixture
def tiny_gpt() -> Callable[..., GPT]:
    """Make a small GPT in eval mode, without dropouts, whose weights are all away from their initial zeros.

    Its codes form two rows of half the length each.
    """

    def make(vocab: int = 11, length: int = 6, classes: int | None = CLASSES, **config) -> GPT:
        dropouts = dict.fromkeys(["token_dropout", "residual_dropout", "ffn_dropout", "label_dropout"], 0.0)
        shape = {"size": None, "layers": 3, "heads": 2, "width": 16, "ffn_multiple": 8}
        with torch.random.fork_rng():
            torch.manual_seed(0)
            codes = tokzoo.CodeSpec((2, length // 2), (vocab,))
            tokens = tokzoo.Tokens(codes, tokzoo.LatentSpec("grid", codes.shape, 8), classes)
            model = GPT(GPTConfig(**(shape | dropouts | config)), tokens)
            for parameter in model.parameters():
                parameter.data += 0.3 * torch.randn(parameter.shape)
        return model.eval()

    return make
