"""Claims of papers are kept as data: what is written is read again, and what is wrong is told with its entry."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import pytest

from tubelet.errors import ReportError
from tubelet.evaluation.claims import Claim, claim_table, read_claims, update_claims, write_claims

REPORT = "benchmarks/reports/e1.json"
MEASURED = Claim(
    id="E1",
    statement="Half of the tubelets | are enough.",
    unit="%",
    paper=71.25,
    ours=64,
    interval=(60.5, 67.5),
    num_seeds=3,
    holds=False,
    command="python benchmarks/quality/e1.py --seed 0",
    report=REPORT,
    machine="2 cores",
    commit="d7adf0e",
    note="Small\ndata.",
)
NOT_MEASURED = Claim(
    id="speed",
    statement="It is fast.",
    unit="",
    paper=None,
    ours=None,
    interval=None,
    num_seeds=0,
    holds=None,
    command="python benchmarks/quality/e1.py",
    report=None,
    machine=None,
    commit=None,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a checkout keeps the claims of a method; the report is there, the claims are not."""
    report = tmp_path / REPORT
    report.parent.mkdir(parents=True)
    report.write_text("{}")
    return tmp_path / "benchmarks" / "claims" / "method.json"


def put(path: Path, **changes: object) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps([json.loads(json.dumps(asdict(MEASURED))) | changes]))


def test_what_is_written_is_read_again(path: Path) -> None:
    write_claims(path, [MEASURED, NOT_MEASURED])
    assert read_claims(path) == (MEASURED, NOT_MEASURED)
    content = json.loads(path.read_text())
    assert list(content[0]) == [each.name for each in fields(Claim)]
    assert content[0]["interval"] == [60.5, 67.5]
    assert content[1]["holds"] is None


def test_claims_are_replaced_by_id_and_the_others_stay_in_order(path: Path) -> None:
    update_claims(path, [MEASURED])
    update_claims(path, [NOT_MEASURED])
    new = replace(MEASURED, id="E2")
    better = replace(MEASURED, holds=True)
    update_claims(path, [new, better])
    assert read_claims(path) == (better, NOT_MEASURED, new)


def test_an_update_mends_an_entry_whose_report_is_gone(path: Path, tmp_path: Path) -> None:
    update_claims(path, [MEASURED])
    other = "benchmarks/reports/other.json"
    (tmp_path / REPORT).rename(tmp_path / other)
    with pytest.raises(ReportError, match=r"claim E1: its report benchmarks/reports/e1\.json is not in "):
        read_claims(path)
    mended = replace(MEASURED, report=other)
    update_claims(path, [mended])
    assert read_claims(path) == (mended,)


def test_nothing_is_written_where_something_is_wrong(path: Path) -> None:
    update_claims(path, [MEASURED])
    before = path.read_bytes()
    with pytest.raises(ReportError, match="more than one claim has the id E1; ids are unique"):
        write_claims(path, [MEASURED, NOT_MEASURED, MEASURED])
    with pytest.raises(ReportError, match="more than one claim has the id E1"):
        update_claims(path, [MEASURED, MEASURED])
    absent = replace(MEASURED, report="benchmarks/reports/absent.json")
    with pytest.raises(
        ReportError, match=r"absent\.json is not in .*; write the report first, for example with `python"
    ):
        update_claims(path, [absent])
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == ["method.json"]


def test_the_root_can_be_named(path: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "m.json"
    write_claims(elsewhere, [MEASURED], root=tmp_path)
    assert read_claims(elsewhere, root=tmp_path) == (MEASURED,)
    update_claims(elsewhere, [NOT_MEASURED], root=tmp_path)
    assert len(read_claims(elsewhere, root=tmp_path)) == 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"id": "E 1"}, "id is 'E 1'; allowed: letters, digits, _ - and ."),
        ({"id": 1}, "claim 1: id is 1; allowed"),
        ({"statement": " "}, "statement is ' '; allowed: a text that is not empty"),
        ({"unit": None}, 'unit is None; allowed: a text, "" for none'),
        ({"note": 3}, "note is 3; allowed: a text"),
        ({"paper": "71 %"}, "paper is '71 %'; allowed: a finite number, or null for none"),
        ({"ours": True}, "ours is True; allowed: a finite number"),
        ({"ours": float("nan")}, "ours is nan; allowed: a finite number"),
        ({"interval": [2.0, 1.0]}, r"interval is (2.0, 1.0); allowed: low and high, low first, or null"),
        ({"interval": [1.0]}, "interval is (1.0,); allowed: low and high"),
        ({"interval": ["a", "b"]}, "interval is ('a', 'b'); allowed: low and high"),
        ({"interval": 3}, "interval is 3; allowed: [low, high], or null"),
        ({"ours": None}, "interval is (60.5, 67.5); allowed: null where ours is null"),
        ({"num_seeds": -1}, "num_seeds is -1; allowed: 0 or more"),
        ({"num_seeds": 1.5}, "num_seeds is 1.5; allowed: 0 or more"),
        ({"holds": "yes"}, "holds is 'yes'; allowed: true, false or null"),
        ({"holds": 1}, "holds is 1; allowed: true, false or null"),
        ({"report": None}, "report is None; allowed: a text; null only where holds is null"),
        ({"machine": ""}, "machine is ''; allowed: a text; null only where holds is null"),
        ({"commit": None}, "commit is None; allowed: a text"),
        ({"report": "e1.json"}, "report is 'e1.json'; allowed: a path below benchmarks/reports/"),
        ({"report": "benchmarks/reports/../../x"}, "allowed: a path below benchmarks/reports/"),
        ({"command": "a && b"}, "command is 'a && b'; allowed: one program with its arguments, no shell"),
        ({"command": "X=1 python a.py"}, "`env NAME=VALUE program` sets a variable"),
        ({"command": "python 'a"}, 'command is "python \'a", which cannot be split into words: No closing quotation'),
        ({"more": 1}, "claim E1: it has unknown more"),
    ],
)
def test_what_is_wrong_in_an_entry_is_told(path: Path, changes: dict[str, Any], said: str) -> None:
    put(path, **changes)
    with pytest.raises(ReportError) as raised:
        read_claims(path)
    assert str(raised.value).startswith(f"{path}: claim ")
    assert said in str(raised.value)


def test_what_is_no_file_of_claims_is_told(path: Path) -> None:
    with pytest.raises(ReportError, match=r"method\.json: cannot be read as a file of claims: .*No such file"):
        read_claims(path)
    path.parent.mkdir()
    for content, said in (
        ("[", "cannot be read as a file of claims: "),
        ("{}", "it holds dict; a file of claims is a list of objects"),
        ("[3]", "claim 1: it is 3; allowed: an object; mend the entry"),
        ("[{}]", "claim 1: it lacks command, commit, holds, id"),
    ):
        path.write_text(content)
        with pytest.raises(ReportError) as raised:
            read_claims(path)
        assert said in str(raised.value)


def test_a_wrong_claim_in_a_program_is_misuse() -> None:
    with pytest.raises(ValueError, match="num_seeds is -3; allowed: 0 or more"):
        replace(MEASURED, num_seeds=-3)


def test_the_table_keeps_what_failed_and_what_was_not_measured() -> None:
    lines = claim_table([MEASURED, NOT_MEASURED, replace(MEASURED, id="E3", ours=12345.6, holds=True)]).splitlines()
    assert lines == [
        "| id | claim | paper | ours | 95 % interval | holds | report | note |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        "| E1 | Half of the tubelets \\| are enough. | 71.25 % | 64 % | 60.5 to 67.5 | no | "
        "`benchmarks/reports/e1.json` | Small data. |",
        "| speed | It is fast. |  |  |  | not measured |  |  |",
        "| E3 | Half of the tubelets \\| are enough. | 71.25 % | 12346 % | 60.5 to 67.5 | yes | "
        "`benchmarks/reports/e1.json` | Small data. |",
    ]
