"""What components return, looked at where it comes in: of a wrong type the component is told, not who used it."""

from typing import Any, TypeVar

from tokzoo.contracts.errors import Broken

T = TypeVar("T")


def expected(answer: Any, wanted: type[T], whose: str, method: str) -> T:
    """What a component returned.

    Args:
        answer: that.
        wanted: the type it must be of.
        whose: the component, as messages name it.
        method: what was called.

    Raises:
        Broken: it is of another type.
    """
    if isinstance(answer, wanted):
        return answer
    found = "None" if answer is None else f"a {type(answer).__name__}"
    raise Broken(f"{whose}: {method}() must return {wanted.__name__}, and returned {found}")
