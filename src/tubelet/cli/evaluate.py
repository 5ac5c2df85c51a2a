"""`tubelet evaluate`: measures what a training left behind."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `tubelet evaluate`."""
    parser = subparsers.add_parser(
        "evaluate",
        help="measure a trained run",
        description="Evaluates a run by its own method, writes report.json and what belongs to it into "
        "RUN/evaluation, and prints the table. The exit code is 1 if some items could not be scored.",
    )
    parser.add_argument("run_path", metavar="RUN", help="a run folder that `tubelet train --out` made")
    parser.add_argument(
        "--data", metavar="DIR", help="the same as --set data.path=DIR: other clips than those of training"
    )
    parser.add_argument("--split", metavar="SPLIT", help="the same as --set evaluation.split=SPLIT: train, val or test")
    parser.add_argument(
        "--robustness", action="store_true", help="measure with pictures made worse, too (a recipe that sees pictures)"
    )
    parser.add_argument(
        "--token-budget",
        metavar="SHARE",
        help="the same as --set evaluation.token_budget=SHARE: see `tubelet recognize` (a run of a video transformer)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        dest="settings",
        help="measure with another setting, e.g. evaluation.num_views=5",
    )
    parser.add_argument("--out", metavar="DIR", help="where report.json and the rest go, instead of RUN/evaluation")
    parser.add_argument("--overwrite", action="store_true", help="replace a report.json that is there")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Evaluates a run."""
    from tubelet.cli.finder import find_recipe
    from tubelet.configs import from_json, override
    from tubelet.errors import ConfigError, IncompleteEvaluationError
    from tubelet.runs import Report, RunDirectory
    from tubelet.runs.directory import check_output

    directory = RunDirectory.open(arguments.run_path)
    report_path = directory.report_path if arguments.out is None else Path(arguments.out) / "report.json"
    check_output(report_path, overwrite=arguments.overwrite)
    stored = directory.description()
    if not isinstance(stored.get("recipe"), str):
        raise ConfigError(f"{directory.config_path} names no recipe; only runs of `tubelet train` can be evaluated")
    recipe = find_recipe(stored["recipe"])
    config = from_json(type(recipe.config()), stored.get("config"))
    config = override(config, _settings(arguments))
    measure = recipe.action("evaluate")
    report_path.parent.mkdir(parents=True, exist_ok=True)
    if report_path.exists():  # to be replaced: what it was made from goes too, or the new one would go on from it
        for old in (report_path, *report_path.parent.glob("predictions*.jsonl")):
            old.unlink()
    report = measure(config, directory, report_path.parent)
    if not isinstance(report, Report):
        raise ConfigError(f"{recipe.name}: evaluate returned {type(report).__name__}; it must return a Report")
    report.write(report_path)
    print(report.to_markdown())
    print(f"report: {report_path}")
    try:
        report.require_complete()
    except IncompleteEvaluationError as error:
        print(f"tubelet: error: {error}", file=sys.stderr)
        return 1
    return 0


def _settings(arguments: argparse.Namespace) -> list[str]:
    """The options as settings of the run's config, which says which of them there are."""
    settings = list(arguments.settings)
    if arguments.data is not None:
        settings.append(f"data.path={arguments.data}")
    if arguments.split is not None:
        settings.append(f"evaluation.split={arguments.split}")
    if arguments.robustness:
        settings.append("evaluation.robustness=true")
    if arguments.token_budget is not None:
        settings.append(f"evaluation.token_budget={arguments.token_budget}")
    return settings
