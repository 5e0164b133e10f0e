"""Parts of a tokenizer that are trained for a while, or at their own learning rate (``train.tokenizer.parts``)."""

from collections.abc import Mapping

from torch import nn

from tokzoo.assembly.objective import Objective
from tokzoo.contracts.errors import TokzooError, suggest
from tokzoo.contracts.outputs import Progress
from tokzoo.recipes.models import PARTS
from tokzoo.recipes.optimization import PartTraining


def place_of(part: str) -> str:
    """Where a part of a recipe is in an objective."""
    return part if part.startswith("regularizers.") else f"tokenizer.{part}"


class Parts:
    """Freezes and thaws the parts of an objective as their gates say.

    Args:
        objective: of the tokenizer.
        settings: by part: encoder, quantizer, decoder, or ``regularizers.ROLE``.

    Raises:
        TokzooError: there is no such part.
    """

    def __init__(self, objective: Objective, settings: Mapping[str, PartTraining]) -> None:
        known = (*PARTS, *(f"regularizers.{role}" for role in objective.by_role))
        for name in settings:
            if name not in known:
                raise TokzooError(f"train.tokenizer.parts.{name}: there is no such part; {suggest(name, known)}")
        self.settings = dict(settings)
        self._modules = {name: objective.part(name) for name in settings}
        # What a component itself keeps from being trained is never thawed.
        self._parameters = {
            name: [parameter for parameter in module.parameters() if parameter.requires_grad]
            for name, module in self._modules.items()
        }
        self._trained: dict[str, bool] = {}
        for name in settings:
            if self.rests(name):
                self._let_learn(name, False)

    def move_to(self, progress: Progress) -> None:
        """Freeze and thaw what changes at this step."""
        for name, module in self._modules.items():
            trained = self.is_trained(name, progress)
            if self._trained.get(name) == trained:
                continue
            self._trained[name] = trained
            self._let_learn(name, trained)
            if name in ("encoder", "decoder"):
                module.train(trained)

    def is_trained(self, name: str, progress: Progress) -> bool:
        """Whether a part is trained in this step."""
        each = self.settings.get(name)
        return each is None or progress.is_open(each.start, each.stop)

    def rests(self, name: str) -> bool:
        """Whether a part is frozen throughout, so that no optimizer needs to know it."""
        return name in self.settings and self.settings[name].stop == 0

    def _let_learn(self, name: str, learns: bool) -> None:
        for parameter in self._parameters[name]:
            parameter.requires_grad_(learns)

    def of_parameters(self, names: Mapping[str, nn.Parameter]) -> dict[str, PartTraining]:
        """The settings of parameters of the objective, by their names there."""
        prefixes = {f"{place_of(name)}.": each for name, each in self.settings.items()}
        return {
            parameter: each for parameter in names for prefix, each in prefixes.items() if parameter.startswith(prefix)
        }
