import torch

from tokzoo.nn.rms_norm import RMSNorm


def test_normalises_the_root_mean_square_and_weighs():
    norm = RMSNorm(2)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, 10.0]))
    out = norm(torch.tensor([[3.0, 4.0]]))
    torch.testing.assert_close(out, torch.tensor([[3.0, 40.0]]) / 12.5**0.5, atol=1e-5, rtol=0)


def test_eps_bounds_small_inputs():
    assert torch.allclose(RMSNorm(4, eps=1e-2)(torch.full((4,), 1e-6)), torch.full((4,), 1e-5), rtol=1e-4)


def test_half_precision_squares_do_not_overflow():
    out = RMSNorm(8).half()(torch.full((8,), 1000.0, dtype=torch.half))
    assert out.dtype == torch.half
    torch.testing.assert_close(out, torch.ones(8, dtype=torch.half))
