"""What the base classes do by themselves."""

from torch import nn

import tokzoo


class Pixels(tokzoo.Teacher):
    def forward(self, images):
        return images.flatten(2).transpose(1, 2)


def test_a_teacher_stays_in_eval_mode_when_the_part_it_is_in_is_thawed():
    part = nn.Sequential(nn.Dropout(), Pixels(None, None))
    part.eval().train()
    assert [each.training for each in part] == [True, False]
