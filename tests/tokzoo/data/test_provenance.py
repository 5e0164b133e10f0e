import torch

from tokzoo.data.provenance import made_with


def test_the_same_machine_says_the_same_and_does_not_name_itself():
    first = made_with()
    assert first == made_with()
    assert first["torch"] == torch.__version__
    instructions, digest = first["cpu"].split()
    assert instructions == torch.backends.cpu.get_cpu_capability()
    assert len(digest) == 12
