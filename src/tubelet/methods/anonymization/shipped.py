"""The anonymiser that ships: trained on drawn people by `tubelet train anonymization:people`."""

from __future__ import annotations

from importlib import resources

from tubelet.errors import WeightsError
from tubelet.methods.anonymization.model import Anonymizer

FILE = "people.safetensors"


def shipped_anonymizer() -> Anonymizer:
    """Load it.

    Raises:
        WeightsError: The installation lacks it.
    """
    found = resources.files("tubelet.methods.anonymization") / "weights" / FILE
    with resources.as_file(found) as path:
        if not path.exists():
            raise WeightsError(
                f"{FILE} is missing from this installation of tubelet; install it anew, or give --model RUN of "
                "`tubelet train anonymization:people`, or --model none to hide people alone"
            )
        return Anonymizer.load(path)
