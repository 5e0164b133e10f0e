"""What follows where something is laid over a track: another AR model, further metrics."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any, cast

from tokzoo.contracts.configs import ARConfig, MetricConfig
from tokzoo.contracts.errors import TokzooError
from tokzoo.recipes.resolver import Resolver
from tokzoo.recipes.slots import Slot
from tokzoo.recipes.tree import Tree, at
from tokzoo.registry.catalogue import Catalogue

AR = ("probe", "ar")
SAMPLER = ("probe", "sampler")


def lay_over(tree: Tree, change: Callable[[Tree], object], catalogue: Catalogue) -> None:
    """Change a track's tree, and what belongs to the change.

    What was said of the sampler of another AR model is dropped, unless the new one has the same sampler. Metrics that
    come to those that are measured are shown, unless the change says itself what is.
    """
    trial = Tree(deepcopy(tree.data), dict(tree.origins))
    change(trial)
    if _have_other_samplers(tree, trial, catalogue):
        tree.drop(SAMPLER)
    former, columns = _metrics(tree), tree.origins.get(("columns",))
    change(tree)
    if tree.origins.get(("columns",)) == columns and former:
        _show(tree, former, catalogue)


def _have_other_samplers(before: Tree, after: Tree, catalogue: Catalogue) -> bool:
    names = [_use(at(tree.data, AR)) for tree in (before, after)]
    if at(before.data, SAMPLER) is None or names[0] == names[1]:
        return False
    samplers = [_config(tree, "ar", AR, catalogue) for tree in (before, after)]
    # Where one of them is wrong, that is told when the track is resolved.
    return None not in samplers and len({cast(ARConfig, config).sampler for config in samplers}) > 1


def _show(tree: Tree, former: list[Any], catalogue: Catalogue) -> None:
    """Show the metrics that are not among the ``former``, in columns after those there are."""
    columns = tree.data.get("columns") or [tree.data.get("main")]
    if not isinstance(columns, list | tuple):
        return
    new: list[str] = []
    for place, given in enumerate(_metrics(tree)):
        if _use(given) not in map(_use, former):
            config = cast(MetricConfig | None, _config(tree, "metric", ("metrics", str(place)), catalogue))
            new += [info.id for info in (config.reports if config else ()) if not info.observed]
    if new:
        tree.data["columns"] = [*columns, *(metric for metric in dict.fromkeys(new) if metric not in columns)]


def _metrics(tree: Tree) -> list[Any]:
    given = tree.data.get("metrics")
    return list(given) if isinstance(given, list | tuple) else []


def _use(given: Any) -> Any:
    return given.get("use") if isinstance(given, dict) else given


def _config(tree: Tree, kind: str, key: tuple[str, ...], catalogue: Catalogue) -> Any:
    try:
        slot: Slot = Resolver(tree, catalogue).slot(kind, key)
    except TokzooError:
        return None
    return slot.config
