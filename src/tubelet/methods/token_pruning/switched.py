"""A trained model with another way of removing tokens than its own."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from tubelet.configs import suggestion
from tubelet.errors import ConfigError
from tubelet.methods.token_pruning.language import PrunedVideoLanguage
from tubelet.methods.token_pruning.pruning import FRAME_METHODS, METHODS, Method


def require_method(name: str) -> None:
    """See that there is such a way of removing tokens.

    Raises:
        ConfigError: There is not.
    """
    if name not in METHODS:
        raise ConfigError(f"there is no method {name!r}; {suggestion(name, METHODS)}")


def with_method(trained: PrunedVideoLanguage, method: str) -> PrunedVideoLanguage:
    """The model as it is for its own method; its weights under another, where and as deep as its own.

    Args:
        trained: A trained model.
        method: One of `METHODS`.

    Raises:
        ConfigError: There is no such method, or it needs a scorer that was not trained.
    """
    require_method(method)
    own = trained.config
    if method == own.method:
        return trained
    if method == "stts":
        raise ConfigError(
            f"method 'stts' needs a trained scorer, and this run was trained with {own.method!r}; give a run that was "
            "trained with --set pruning.method=stts, or another method"
        )
    where = "both" if method in FRAME_METHODS else own.where
    config = replace(own, method=cast("Method", method), remove=0.0, where=where)
    return PrunedVideoLanguage(trained.model, config).eval()
