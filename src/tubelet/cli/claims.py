"""`tubelet claims`: what papers claim and what was measured here; and measuring a claim again."""

from __future__ import annotations

import argparse
import os
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tubelet.evaluation.claims import Claim

_DESCRIPTION = """Lists the claims of papers that were put to the test, of one method or of all, with the numbers of the
paper and of this project. Claims that did not hold are listed too."""

_EPILOG = """`tubelet claims rerun METHOD:ID` runs the command of one claim again, in the root of the checkout, and
compares the verdict afterwards. Its exit codes: 0 the verdict is unchanged, 1 it changed or the command failed, 2 wrong
usage.

examples:
  tubelet claims
  tubelet claims anonymization --json
  tubelet claims rerun anonymization:E1

The claims are files of a checkout of the project; they are not installed."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `tubelet claims`."""
    parser = subparsers.add_parser(
        "claims",
        help="list the claims of papers with what was measured, or measure one again",
        usage="tubelet claims [METHOD] [--json] [--folder DIR]\n       tubelet claims rerun METHOD:ID [--folder DIR]",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", nargs="?", metavar="METHOD|rerun", help="the method to list; all by default")
    parser.add_argument("claim", nargs="?", metavar="METHOD:ID", help="after `rerun`: the claim to measure again")
    parser.add_argument("--folder", metavar="DIR", help="where the claims are (default: benchmarks/claims)")
    parser.add_argument("--json", action="store_true", help="print one JSON object: methods with their claims")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Lists claims, or measures one again."""
    from tubelet.errors import ConfigError
    from tubelet.evaluation.claims import CLAIMS_FOLDER

    folder = Path(CLAIMS_FOLDER if arguments.folder is None else arguments.folder)
    if arguments.what != "rerun":
        if arguments.claim is not None:
            raise ConfigError(
                f"{arguments.claim!r} is one word too many; list a METHOD, or `tubelet claims rerun METHOD:ID`"
            )
        arguments.only_lists = True
        return _list(_chosen(_files(folder), arguments.what), as_json=arguments.json)
    if arguments.claim is None:
        raise ConfigError("rerun needs a claim: `tubelet claims rerun METHOD:ID`; `tubelet claims` lists them")
    if arguments.json:
        raise ConfigError("--json is for listing; leave it away with rerun")
    return _rerun(_files(folder), arguments.claim)


def _files(folder: Path) -> dict[str, Path]:
    """Files of claims, by method.

    Raises:
        ConfigError: There are none.
    """
    from tubelet.errors import ConfigError

    found = {path.stem: path for path in sorted(folder.glob("*.json"))}
    if not found:
        why = "holds no claims (METHOD.json)" if folder.is_dir() else "is not there"
        raise ConfigError(f"{folder} {why}; run this in a checkout of tubelet, or name its folder with --folder DIR")
    return found


def _chosen(files: dict[str, Path], method: str | None) -> dict[str, Path]:
    from tubelet.configs import suggestion
    from tubelet.errors import ConfigError

    if method is None:
        return files
    if method not in files:
        raise ConfigError(f"no claims are recorded of {method!r}; {suggestion(method, list(files))}")
    return {method: files[method]}


def _list(files: dict[str, Path], *, as_json: bool) -> int:
    from tubelet.evaluation.claims import read_claims
    from tubelet.runs import to_json_text

    claims = {method: read_claims(path) for method, path in files.items()}
    if as_json:
        sys.stdout.write(to_json_text(claims))
        return 0
    for method, own in claims.items():
        for claim in own:
            print("\n".join(_lines(method, claim)))
    return 0


def _lines(method: str, claim: Claim) -> list[str]:
    """A claim for people: name and verdict, statement, numbers, where they are from, note."""
    from tubelet.evaluation.claims import number_text, verdict, with_unit

    lines = [f"{method}:{claim.id}  holds: {verdict(claim.holds)}", _indented(claim.statement)]
    ours = with_unit(claim.ours, claim.unit) or "none"
    if claim.interval is not None:
        ours += f" ({' to '.join(map(number_text, claim.interval))})"
    seeds = f", {claim.num_seeds} seed{'s' if claim.num_seeds > 1 else ''}" if claim.num_seeds else ""
    lines.append(f"    paper: {with_unit(claim.paper, claim.unit) or 'none'}; ours: {ours}{seeds}")
    if claim.report is not None:
        lines.append(f"    {claim.report}, {claim.machine}, {claim.commit}")
    return [*lines, _indented(claim.note)] if claim.note else lines


def _indented(text: str) -> str:
    return textwrap.fill(text, 110, initial_indent=4 * " ", subsequent_indent=4 * " ")


def _rerun(files: dict[str, Path], name: str) -> int:
    """Runs a claim's command, which writes the claim anew, and compares the verdicts."""
    from tubelet.errors import ConfigError
    from tubelet.evaluation.claims import verdict

    method, colon, claim_id = name.partition(":")
    if not colon or not method or not claim_id:
        raise ConfigError(f"{name!r} does not name a claim; give METHOD:ID, for example {next(iter(files))}:E1")
    path = _chosen(files, method)[method]
    before = _find(path, method, claim_id)
    root = path.resolve().parents[2]
    print(f"{root}$ {before.command}", file=sys.stderr, flush=True)
    code = _run_in(root, before.command)
    if code != 0:
        print(f"tubelet: error: the command of {name} ended with exit code {code}", file=sys.stderr)
        return 1
    after = _find(path, method, claim_id)
    if before.holds is after.holds:
        print(f"{name}: holds: {verdict(after.holds)}, as before")
        return 0
    print(f"{name}: holds: {verdict(after.holds)}; before: {verdict(before.holds)}")
    return 1


def _find(path: Path, method: str, claim_id: str) -> Claim:
    from tubelet.configs import suggestion
    from tubelet.errors import ConfigError
    from tubelet.evaluation.claims import read_claims

    claims = {claim.id: claim for claim in read_claims(path)}
    if claim_id not in claims:
        raise ConfigError(f"{method} has no claim {claim_id!r}; {suggestion(claim_id, list(claims))}")
    return claims[claim_id]


def _run_in(root: Path, command: str) -> int:
    """Exit code of a command whose output goes where ours goes."""
    import shlex
    import subprocess

    from tubelet.errors import ConfigError

    # `python` and `tubelet` are those of this environment, also where it has not been activated.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    words = shlex.split(command)
    try:
        return subprocess.run(words, cwd=root, env=os.environ | {"PATH": path}, check=False).returncode
    except OSError as error:
        raise ConfigError(
            f"{words[0]!r} cannot be run in {root}: {error.strerror}; install it, or mend the command"
        ) from error
