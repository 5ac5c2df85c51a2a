"""What holds for every test: array shapes and types are checked as they are annotated, and random tests repeat themselves."""

from __future__ import annotations

import hypothesis
import jaxtyping

# Before any test module imports tubelet: from here on each annotated function checks dtype and shape of what it is given and
# what it returns. Users do not pay for this; a wrong shape there is found by the function itself or not at all.
_SHAPES = jaxtyping.install_import_hook("tubelet", "beartype.beartype")

# Timing limits on a shared machine only make noise, and a failure that cannot be repeated helps nobody.
hypothesis.settings.register_profile("tubelet", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("tubelet")
