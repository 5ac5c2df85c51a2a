"""What a training has seen of its data: enough to tell two trainings apart, and to say what was missing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Protocol


class SaysFailure(Protocol):
    """An item that could not be read, and why; `tubelet.runs.Failure` is one."""

    @property
    def item(self) -> str:
        """Which."""

    @property
    def reason(self) -> str:
        """Why."""


def ids_of(batch: object) -> Sequence[str] | None:
    """The names of a batch's examples, where it has them in `ids`."""
    ids: Sequence[str] | None = getattr(batch, "ids", None)
    return ids


@dataclass(kw_only=True)
class Ledger:
    """Counts of what one process was given, and a chain of hashes over it.

    Attributes:
        num_batches: Batches, each drawn once.
        num_examples: Examples in those of them that name their examples in `ids`.
        num_failures: How often an example could not be read and was missing.
        failed: The reason of the last failure of each example that ever failed, by its name.
        chain: sha256 over the previous chain and the names in each batch: equal chains saw equal data in equal order.
    """

    num_batches: int = 0
    num_examples: int = 0
    num_failures: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    chain: str = ""

    def record(self, batch: object) -> None:
        """Count a batch; `ids` names its examples and `failures` those that are missing, where it has these."""
        ids = ids_of(batch)
        failures: Sequence[SaysFailure] = getattr(batch, "failures", ())
        self.num_batches += 1
        self.num_examples += len(ids or ())
        self.num_failures += len(failures)
        self.failed.update((failure.item, failure.reason) for failure in failures)
        line = json.dumps([self.chain, list(ids or ()), [failure.item for failure in failures]])
        self.chain = hashlib.sha256(line.encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Ledger:
        """What `to_json` made."""
        return cls(**{each.name: content[each.name] for each in fields(cls)})


def summary(ledgers: Sequence[Ledger], *, num_examples_per_epoch: int | None = None) -> dict[str, Any]:
    """The sums over the ledgers of all processes, with their chains.

    Args:
        ledgers: One per process.
        num_examples_per_epoch: Examples in the training set, to say how often it was gone through; None where unknown.
    """
    num_examples = sum(ledger.num_examples for ledger in ledgers)
    failed = {name: reason for ledger in ledgers for name, reason in sorted(ledger.failed.items())}
    return {
        "num_batches": sum(ledger.num_batches for ledger in ledgers),
        "num_examples": num_examples,
        "num_epochs": None if num_examples_per_epoch is None else round(num_examples / num_examples_per_epoch, 4),
        "num_failures": sum(ledger.num_failures for ledger in ledgers),
        "failed": failed,
        "chains": [ledger.chain for ledger in ledgers],
    }
