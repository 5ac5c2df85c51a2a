"""`tubelet models`: what can be named, with licence and evidence."""

from __future__ import annotations

import argparse
import sys
import textwrap
from typing import Any


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `tubelet models`."""
    parser = commands.add_parser(
        "models",
        help="what can be named, with licence and evidence",
        description="Lists action models, person detectors and the landmark model: what they are, their licence, "
        "and what evidence there is that they work.",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run, only_lists=True)


def run(arguments: argparse.Namespace) -> int:
    """Prints the list."""
    from tubelet import weights
    from tubelet.methods.recognition.model_card import load_card
    from tubelet.people.detector import WEIGHTS_OF
    from tubelet.runs import to_json_text

    card = load_card()
    parts = {
        "detector": list(WEIGHTS_OF.items()),
        "landmarks": [("blazepose-full", weights.POSE_LANDMARK_FULL)],
    }
    if arguments.json:
        document: dict[str, Any] = {
            "action_models": [card],
            "parts": [
                {
                    "kind": kind,
                    "name": name,
                    "licence": item.licence,
                    "evidence": item.evidence,
                    "cached": weights.is_cached(item),
                }
                for kind, items in parts.items()
                for name, item in items
            ],
        }
        sys.stdout.write(to_json_text(document, indent=1))
        return 0
    print(f"action models (tubelet recognize --model NAME)\n  default   {card['name']}, {card['licence']}")
    print(f"\n  {'label':<14} evidence")
    for label, evidence in card["evidence"].items():
        print(f"  {label:<14} {evidence}")
    print("\nparts that come inside other packages (tubelet weights list)")
    for kind, items in parts.items():
        for name, item in items:
            state = "in the cache" if weights.is_cached(item) else "fetched when first used"
            print(f"  {kind:<10} {name:<15} {item.licence:<12} {state}")
            print(textwrap.fill(item.evidence, 110, initial_indent=13 * " ", subsequent_indent=13 * " "))
    return 0
