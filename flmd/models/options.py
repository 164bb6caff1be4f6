"""Options of networks, losses, optimisers and schedules: checked against the signature that takes them.

A registry entry is a callable whose keyword-only arguments are its options; their annotations give
type and range (``Annotated[float, Field(gt=0)]``), their defaults the recipe. So an option is
described in one place, and every registry finds the same mistakes with the same words.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from flmd.errors import ParamsError, did_you_mean

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]

T = TypeVar("T")


def look_up(kind: str, name: str, registry: Mapping[str, T]) -> T:
    """The entry of that name; ParamsError that names the nearest one otherwise."""
    if name in registry:
        return registry[name]
    raise unknown(kind, name, registry)


def unknown(kind: str, name: str, known: Iterable[str]) -> ParamsError:
    """The error for a name that is not there: lists what is, and guesses what was meant."""
    names = sorted(known)
    return ParamsError(
        f"unknown {kind} {name!r}",
        expected="one of " + ", ".join(names) if names else "none",
        hint=did_you_mean(name, names),
    )


def known_options(factory: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The keyword-only arguments of a callable, with annotations evaluated."""
    parameters = inspect.signature(factory, eval_str=True).parameters
    return {name: p for name, p in parameters.items() if p.kind is inspect.Parameter.KEYWORD_ONLY}


def check(kind: str, name: str, factory: Callable[..., Any], options: Mapping[str, object]) -> dict[str, Any]:
    """The options, each of the type and in the range that ``factory``'s signature says.

    Raises
    ------
    ParamsError : an option that ``factory`` does not take (names the nearest one), or a value that is
        not of its type or out of its range. Whole numbers pass for floats; nothing else is converted.
    """
    known = known_options(factory)
    checked: dict[str, Any] = {}
    for option, value in options.items():
        if option not in known:
            raise unknown(f"option of {kind} {name}:", option, known)
        try:
            checked[option] = TypeAdapter(known[option].annotation).validate_python(value, strict=True)
        except ValidationError as error:
            text = error.errors()[0]["msg"].replace("Input should be ", "")
            raise ParamsError(f"{kind} {name}: {option} is {value!r}", expected=text) from None
    return checked
