"""`tubelet train`: trains on a folder of clips, or by the name of any recipe."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tubelet.cli.finder import Recipe
    from tubelet.runs import RunDirectory

CLIP_RECIPE = "recognition:frames"

_DESCRIPTION = """Trains a model and leaves everything in a run folder.

DIR holds labelled clips: clips/CLASS/*.mp4, or clips/{train,val,test}/CLASS/*.mp4, or the files of a known dataset;
`tubelet check DIR` says what is found there. Without a given split one is made by source, and the run says how."""

_EPILOG = """examples:
  tubelet train clips --out runs/first
  tubelet train clips --recipe recognition:skeleton --out runs/people
  tubelet train clips --out runs/slow --set optimizer.lr=3e-4 --set num_epochs=60
  tubelet train recognition:mocap_skeleton --out runs/mocap
  torchrun --nproc-per-node 2 -m tubelet train clips --recipe recognition:vit_small --out runs/two"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `tubelet train`."""
    parser = subparsers.add_parser(
        "train",
        help="train a model on a folder of clips, or by a recipe",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "what",
        metavar="DIR|RECIPE",
        help="a folder of clips, or METHOD:RECIPE, or any importable package.module:function",
    )
    parser.add_argument(
        "--recipe", metavar="METHOD:RECIPE", help=f"how to train on the clips of DIR (default: {CLIP_RECIPE})"
    )
    parser.add_argument(
        "--list",
        action=_ListMethods,
        nargs=0,
        default=argparse.SUPPRESS,
        help="show the methods and their recipes, and stop",
    )
    parser.add_argument("--out", metavar="RUN", help="the run folder to make; an error if it exists")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        dest="settings",
        help="change a setting of the recipe",
    )
    parser.add_argument("--seed", type=int, help="the same as --set seed=SEED")
    parser.add_argument("--device", help="the same as --set device=DEVICE: cpu or cuda")
    parser.add_argument(
        "--overfit-one-batch",
        action="store_true",
        help="only see whether one batch can be learned by heart, which shows mistakes; makes no run",
    )
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
    from tubelet.configs import override
    from tubelet.errors import ConfigError

    is_recipe = ":" in arguments.what
    if is_recipe and arguments.recipe is not None:
        raise ConfigError(f"{arguments.what} is a recipe; --recipe goes with a folder of clips")
    recipe = find_recipe(arguments.what if is_recipe else arguments.recipe or _recipe_of(arguments) or CLIP_RECIPE)
    settings = (
        list(arguments.settings)
        if is_recipe
        else [f"data.path={os.path.normpath(arguments.what)}", *arguments.settings]
    )
    for name in ("seed", "device"):
        if getattr(arguments, name) is not None:
            settings.append(f"{name}={getattr(arguments, name)}")
    if arguments.overfit_one_batch:
        self_test = recipe.optional_action("overfit_one_batch", of="train")
        if self_test is None:
            raise ConfigError(f"{recipe.name} has no self-test; leave --overfit-one-batch away")
        print(self_test(override(recipe.config(), settings)))
        return 0
    if arguments.out is None:
        raise ConfigError("--out is missing; name the run folder to make, for example --out runs/first")
    config, directory = (
        _resumed(arguments.out, recipe, settings) if arguments.resume else _new(arguments.out, recipe, settings)
    )
    recipe.action("train")(config, directory)
    print(f"run: {directory.path}")
    if not is_recipe:
        print(f"next: tubelet evaluate {directory.path}")
    return 0


def _recipe_of(arguments: argparse.Namespace) -> str | None:
    """The recipe of the run that is to go on, so that it need not be typed again."""
    from tubelet.runs import RunDirectory

    if not arguments.resume or arguments.out is None:
        return None
    stored = RunDirectory.open(arguments.out).description().get("recipe")
    return stored if isinstance(stored, str) else None


def _new(out: str, recipe: Recipe, settings: list[str]) -> tuple[object, RunDirectory]:
    """The recipe's config with the settings, and a new folder."""
    from tubelet.configs import override, to_json
    from tubelet.runs import RunDirectory, installed_versions, this_command

    config = override(recipe.config(), settings)
    # Before the folder is made: a training that cannot begin leaves nothing behind.
    recipe.action("train")
    check = recipe.optional_action("check", of="train")
    if check is not None:
        check(config)
    description = {
        "recipe": recipe.name,
        "config": to_json(config),
        "versions": installed_versions(),
        "command": this_command(),
    }
    return config, RunDirectory.create_or_join(out, description)


def _resumed(out: str, recipe: Recipe, settings: list[str]) -> tuple[object, RunDirectory]:
    """The config and the folder of a run that goes on.

    Raises:
        ConfigError: It is a run of another recipe, or a setting would change.
    """
    from tubelet.configs import from_json, override, to_json
    from tubelet.errors import ConfigError
    from tubelet.runs import RunDirectory

    directory = RunDirectory.open(out)
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
    return config, directory


def _differences(before: object, after: object, path: str = "") -> list[str]:
    """Dotted names of the settings that differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [
            name
            for key in before.keys() | after.keys()
            for name in _differences(before.get(key), after.get(key), f"{path}.{key}".lstrip("."))
        ]
    return [] if before == after else [path]
