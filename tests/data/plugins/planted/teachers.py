"""Small teachers: good ones, and others that are each broken in one way."""

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn

import tokzoo
from planted.offering import offered


class PatchesConfig(tokzoo.TeacherConfig):
    """Features of a 4×4 grid."""

    dim: int = Field(6, description="channels")

    def hidden_spec(self, image):
        return tokzoo.HiddenSpec((4, 4), self.dim)


@offered("teacher", "good-teacher", PatchesConfig)
class Patches(tokzoo.Teacher):
    """A fixed linear map of patches, with a norm and a dropout that eval mode must silence."""

    def __init__(self, config, image):
        super().__init__(config, image)
        self.patches = nn.Conv2d(image.channels, config.dim, 1)
        weight = torch.linspace(-1, 1, image.channels * config.dim).sin().view(config.dim, image.channels, 1, 1)
        self.patches.load_state_dict({"weight": weight, "bias": torch.zeros(config.dim)})
        self.norm = nn.BatchNorm1d(16)
        self.dropout = nn.Dropout(0.5)

    def forward(self, images):
        features = F.adaptive_avg_pool2d(self.patches(images).tanh(), 4)
        return self.dropout(self.norm(features.flatten(2).transpose(1, 2)))


@offered("teacher", "wrong-width", PatchesConfig)
class WrongWidth(Patches):
    def forward(self, images):
        return super().forward(images)[..., 1:]


@offered("teacher", "feature-map", PatchesConfig)
class FeatureMap(Patches):
    def forward(self, images):
        return super().forward(images).transpose(1, 2).unflatten(2, (4, 4))


@offered("teacher", "drops-out-always", PatchesConfig)
class DropsOut(Patches):
    def forward(self, images):
        return F.dropout(super().forward(images), 0.5)


@offered("teacher", "stays-in-training-mode", PatchesConfig)
class StaysInTraining(Patches):
    def train(self, mode=True):
        return nn.Module.train(self, True)


@offered("teacher", "thaws-itself", PatchesConfig)
class Thaws(Patches):
    def forward(self, images):
        self.requires_grad_(True)
        return super().forward(images)


@offered("teacher", "keeps-statistics", PatchesConfig)
class KeepsStatistics(Patches):
    def __init__(self, config, image):
        super().__init__(config, image)
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, images):
        features = super().forward(images)
        self.mean.lerp_(features.detach().mean(), 0.1)
        return features


@offered("teacher", "normalises-the-batch", PatchesConfig)
class NormalisesImages(Patches):
    def forward(self, images):
        features = super().forward(images)
        return features - features.mean(0)


@offered("teacher", "drawn-weights", PatchesConfig)
class DrawnWeights(Patches):
    def __init__(self, config, image):
        super().__init__(config, image)
        nn.init.normal_(self.patches.weight)


@offered("teacher", "flat-gradient", PatchesConfig)
class FlatGradient(Patches):
    def forward(self, images):
        return super().forward(images.round())


@offered("teacher", "normalises-in-place", PatchesConfig)
class InPlace(Patches):
    def forward(self, images):
        return super().forward(images.detach().sub_(0.1) if not images.requires_grad else images)


@offered("teacher", "not-a-number", PatchesConfig)
class NotANumber(Patches):
    def forward(self, images):
        return super().forward(images).log()


class RefusesImagesConfig(PatchesConfig):
    def hidden_spec(self, image):
        raise tokzoo.Refusal("sees sounds")


@offered("teacher", "refuses-all-images", RefusesImagesConfig)
class RefusesImages(Patches):
    pass


@offered("teacher", "reads-its-weights-when-built", PatchesConfig)
class ReadsWeights(Patches):
    def __init__(self, config, image):
        super().__init__(config, image)
        self.scale = self.patches.weight.max().item()
