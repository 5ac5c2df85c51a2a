"""`tubelet train`: runs a method's training by the name of a recipe."""

from __future__ import annotations

import argparse
import os


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `tubelet train`."""
    parser = subparsers.add_parser(
        "train",
        help="train a model by a recipe",
        description="Trains a model by a recipe and leaves everything in a run folder.",
        epilog="example: tubelet train recognition:mocap_skeleton --out runs/mocap --set optimizer.lr=1e-3",
    )
    parser.add_argument("recipe", metavar="METHOD:RECIPE", help="a recipe, or any importable package.module:function")
    parser.add_argument(
        "--list",
        action=_ListMethods,
        nargs=0,
        default=argparse.SUPPRESS,
        help="show the methods and their recipes, and stop",
    )
    parser.add_argument("--out", required=True, metavar="RUN", help="the run folder to make")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        dest="settings",
        help="change a setting of the recipe",
    )
    parser.add_argument("--seed", type=int, help="the same as --set seed=SEED")
    parser.add_argument("--resume", action="store_true", help="go on with the run in RUN, which keeps its settings")
    parser.set_defaults(run=run)


class _ListMethods(argparse.Action):
    """Prints every method that ships with its title and recipes."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from tubelet.cli.finder import method_card, method_recipes, methods
        from tubelet.errors import ConfigError

        try:
            for method in methods():
                print(f"{method:<14} {method_card(method).title}")
                for name, purpose in method_recipes(method).items():
                    print(f"  {method}:{name}\n      {purpose}")
        except ConfigError as error:
            parser.error(str(error))
        parser.exit()


def run(arguments: argparse.Namespace) -> int:
    """Trains, or goes on training."""
    from tubelet.cli.finder import find_recipe
    from tubelet.configs import from_json, override, to_json
    from tubelet.errors import ConfigError
    from tubelet.runs import RunDirectory, installed_versions, this_command

    if os.path.isdir(arguments.recipe):
        raise ConfigError(
            f"{arguments.recipe} is a folder; training on your own clips is not there yet. "
            "Give METHOD:RECIPE, for example recognition:mocap_skeleton"
        )
    recipe = find_recipe(arguments.recipe)
    settings = arguments.settings + ([] if arguments.seed is None else [f"seed={arguments.seed}"])
    if arguments.resume:
        directory = RunDirectory.open(arguments.out)
        stored = directory.description()
        if stored.get("recipe") != recipe.name:
            raise ConfigError(f"{directory.path} is a run of {stored.get('recipe')!r}, not of {recipe.name!r}")
        config = from_json(type(recipe.config()), stored.get("config"))
        changed = _differences(to_json(config), to_json(override(config, settings)))
        if changed:
            raise ConfigError(
                f"--resume keeps the settings of {directory.path}, and {', '.join(changed)} would change; "
                "leave --set and --seed away, or start a new run"
            )
        train = recipe.action("train")
    else:
        config = override(recipe.config(), settings)
        train = recipe.action("train")  # before the folder is made: a method that cannot train leaves nothing behind
        directory = RunDirectory.create(
            arguments.out,
            {
                "recipe": recipe.name,
                "config": to_json(config),
                "versions": installed_versions(),
                "command": this_command(),
            },
        )
    train(config, directory)
    print(f"run: {directory.path}")
    return 0


def _differences(before: object, after: object, path: str = "") -> list[str]:
    """Dotted names of the settings that differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [
            name
            for key in before.keys() | after.keys()
            for name in _differences(before.get(key), after.get(key), f"{path}.{key}".lstrip("."))
        ]
    return [] if before == after else [path]
