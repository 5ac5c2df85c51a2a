"""What holds for every test: arrays are checked against their annotations, and random tests repeat themselves."""

from __future__ import annotations

from collections.abc import Iterator

import hypothesis
import jaxtyping
import pytest

# Before any test module imports tubelet: from here on each function checks shape and dtype of the arrays it is given
# and returns. Users do not pay for this.
_HOOK = jaxtyping.install_import_hook("tubelet", "shape_checks.arrays")

# Timing limits on a shared machine only make noise, and a failure that cannot be repeated helps nobody.
hypothesis.settings.register_profile("tubelet", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("tubelet")


@pytest.fixture
def unchecked_shapes() -> Iterator[None]:
    """For a test of what a function itself says about a wrong shape: its annotations are not checked meanwhile."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
