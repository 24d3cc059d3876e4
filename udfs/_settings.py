"""From a row of a seed to the object that it describes, with errors that name the row and the word."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
from typing import TYPE_CHECKING, Any

from bclust.errors import BclustError, FunctionError, did_you_mean
from bclust.functions import Context, Limits, member

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

_LIMITS = (
    "max_concurrency", "batch_size", "requests_per_minute", "tokens_per_minute", "timeout_s", "max_retries", "initial_sleep_s",
    "max_wait_s",
)  # fmt: skip
_MAY_BE_ZERO = ("max_retries",)


def construct(
    family: str, class_name: str, what: str, row: Mapping[str, Any], context: Context, *, taken: Collection[str]
) -> tuple[Any, Limits]:
    """Construct what ``row`` describes: its ``provider`` is the file in ``udfs/FAMILY/``, its other keys are settings.

    ``what`` names the row in errors ("llm gpt"). Keys in ``taken`` are the caller's; limits are laid over those of the class;
    the first of ``taken`` (the row's name) is handed on where the class asks for it. NULL means: not set.

    Returns:
        the object, and its limits.

    Raises:
        FunctionError: no such provider, a setting that it does not have, one that it needs, or one of the wrong kind.
    """
    if not row.get("provider"):
        raise FunctionError(
            f"{what} has no provider", hint=f"add provider: to its row; the names are the files in udfs/{family}/"
        )
    module = member(family, str(row["provider"]))
    target = getattr(module, class_name, None)
    if target is None:
        raise FunctionError(f"{what}: udfs/{family}/{row['provider']}.py has no class {class_name}")
    parameters = {
        name: p for name, p in inspect.signature(target).parameters.items() if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)
    }
    parameters.pop("context", None)
    given = {k: v for k, v in row.items() if v is not None and k != "provider"}
    limits = {k: _number(what, k, given.pop(k)) for k in _LIMITS if k in given}
    settings = {k: v for k, v in given.items() if k not in taken or k in parameters}
    _check(what, settings, parameters, [*parameters, *_LIMITS, *taken])
    made = target(context, **settings)
    return made, dataclasses.replace(made.limits, **limits)


def files_of(names: Iterable[str], opened: Callable[[str], Any]) -> dict[str, str]:
    """The fingerprints of files (an attribute ``files``) from which some of those are made, by what they are of.

    What cannot be opened says so when it is used.
    """
    found = {}
    for name in names:
        with contextlib.suppress(BclustError, OSError):
            found[f"files of {name}"] = getattr(opened(name), "files", None)
    return {name: files for name, files in found.items() if files}


def _check(what: str, settings: Mapping[str, Any], parameters: Mapping[str, inspect.Parameter], known: Collection[str]) -> None:
    for name in settings:
        if name not in parameters:
            raise FunctionError(f"{what}: unknown setting {name}", hint=did_you_mean(name, known))
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in settings:
            raise FunctionError(f"{what}: the setting {name} is missing")


def _number(what: str, name: str, value: Any) -> Any:
    wrong = (
        isinstance(value, bool) or not isinstance(value, int | float) or value < 0 or (value == 0 and name not in _MAY_BE_ZERO)
    )
    whole = name in ("max_concurrency", "batch_size", "max_retries")
    if wrong or (whole and value != int(value)):
        raise FunctionError(f"{what}: {name} must be a positive {'whole ' if whole else ''}number, not {value!r}")
    return int(value) if whole else float(value)


def checked_number(what: str, name: str, value: Any, low: float = 0.0) -> float | None:
    """A number of at least ``low``, or None. Raises FunctionError for anything else."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value < low:
        raise FunctionError(f"{what}: {name} must be a number of at least {low:g}, not {value!r}")
    return float(value)
