import pytest
import torch

from tokzoo.nn.kv_cache import KVCache
from tokzoo.nn.llama import MODULATIONS, LlamaBlock


def away_from_zero(block):
    """Its weights moved, so that none is at an initial 0 or 1."""
    for parameter in block.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape)
    return block.eval()


@torch.no_grad()
@pytest.mark.parametrize("adaln", ["none", "full", "shared"])
def test_decoding_with_a_cache_is_the_whole_sequence_at_once(adaln):
    torch.manual_seed(0)
    block = away_from_zero(LlamaBlock(8, 2, 16, qk_norm=True, adaln=adaln))
    x, condition = torch.randn(3, 5, 8), torch.randn(3, 1, MODULATIONS * 8 if adaln == "shared" else 8)
    modulation = None if adaln == "none" else block.modulate(condition)
    cache = KVCache((1, 3, 2, 5, 4), x.device, x.dtype)
    steps = [block(x[:, step : step + 1], modulation, past=cache.at(step)[0]) for step in range(5)]
    torch.testing.assert_close(torch.cat(steps, 1), block(x, modulation))


@torch.no_grad()
def test_dropped_paths_keep_the_mean_of_a_branch():
    torch.manual_seed(0)
    block = away_from_zero(LlamaBlock(8, 2, 16, drop_path=0.4))
    x = torch.randn(1, 2, 8)
    block.ffn.down.weight.data.zero_()
    whole = (block(x) - x).flatten()
    kept = (block.train()(x.expand(5000, -1, -1)) - x).flatten(1) / whole
    assert kept.unique().round(decimals=3).unique().tolist() == pytest.approx([0, 1 / 0.6], abs=1e-3)
    assert kept.mean().item() == pytest.approx(1, abs=0.03)
