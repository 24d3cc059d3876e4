"""Settings written in bclust.yml, checked against the function that will take them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from bclust.errors import FunctionError, did_you_mean


def check_parameters(settings: Mapping[str, Any], function: Callable[..., Any], owner: str) -> None:
    """Check that every setting is a keyword of ``function`` that a user may set.

    Raises:
        FunctionError: with the owner's name and "did you mean".
    """
    reserved = ("random_state", "n_clusters")
    known = [
        p.name for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY and p.name not in reserved
    ]
    for name in settings:
        if name not in known:
            raise FunctionError(f"{owner} has no parameter {name!r}", hint=did_you_mean(name, known))
