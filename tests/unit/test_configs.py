"""Configs go to JSON and back, and say what is allowed where a setting is not."""

from __future__ import annotations

import dataclasses
import enum
import json
from dataclasses import dataclass, field
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tubelet.configs import from_json, override, suggestion, to_json
from tubelet.errors import ConfigError


class Pool(enum.Enum):
    MEAN = "mean"
    MAX = "max"


@dataclass(frozen=True, kw_only=True)
class Optim:
    lr: float = 1e-3
    num_steps: int = 100
    clip: float | None = 1.0

    def __post_init__(self) -> None:
        if self.lr <= 0:
            raise ValueError(f"lr is {self.lr}; allowed: above 0")
        if self.clip is not None and self.clip > self.num_steps:
            raise ValueError(f"no clip of {self.clip:g} in {self.num_steps} steps")


@dataclass(frozen=True, kw_only=True)
class Run:
    name: str
    optim: Optim = field(default_factory=Optim)
    kind: Literal["small", "large", 3] = "small"
    pool: Pool = Pool.MEAN
    widths: tuple[int, ...] = (8, 16)
    size: tuple[int, float] = (2, 0.5)
    labels: list[str] = field(default_factory=lambda: ["walk"])
    weights: dict[str, float] = field(default_factory=dict)
    mirror: bool = True
    seed: int | None = None


@dataclass(frozen=True, kw_only=True)
class Small:
    num_steps: int = 5


configs = st.builds(
    Run,
    name=st.text(),
    optim=st.builds(
        Optim,
        lr=st.floats(1e-9, 10),
        num_steps=st.integers(min_value=10),
        clip=st.none() | st.floats(max_value=10, allow_nan=False, allow_infinity=False),
    ),
    kind=st.sampled_from(["small", "large", 3]),
    pool=st.sampled_from(Pool),
    widths=st.lists(st.integers()).map(tuple),
    labels=st.lists(st.text()),
    weights=st.dictionaries(st.text(), st.floats(allow_nan=False, allow_infinity=False)),
    mirror=st.booleans(),
    seed=st.none() | st.integers(),
)


@given(configs)
def test_a_config_survives_json(config: Run) -> None:
    assert from_json(Run, json.loads(json.dumps(to_json(config)))) == config


def test_what_is_left_out_takes_its_default_and_whole_numbers_are_floats_too() -> None:
    config = from_json(Run, {"name": "a", "optim": {"lr": 1}})
    assert config == Run(name="a", optim=Optim(lr=1.0))
    assert type(config.optim.lr) is float


@pytest.mark.parametrize(
    ("setting", "changed"),
    [
        ("optim.lr=1e-4", {"optim": Optim(lr=1e-4)}),
        ("optim.num_steps=7", {"optim": Optim(num_steps=7)}),
        ("optim.clip=none", {"optim": Optim(clip=None)}),
        ("optim.clip=2", {"optim": Optim(clip=2.0)}),
        ('optim={"lr": 0.5}', {"optim": Optim(lr=0.5)}),
        ("name=b=c d", {"name": "b=c d"}),
        ("name=12", {"name": "12"}),
        ("name=none", {"name": "none"}),
        ("kind=large", {"kind": "large"}),
        ("kind=3", {"kind": 3}),
        ("pool=max", {"pool": Pool.MAX}),
        ("widths=[1, 2, 3]", {"widths": (1, 2, 3)}),
        ("size=[4, 1]", {"size": (4, 1.0)}),
        ('labels=["run", "walk"]', {"labels": ["run", "walk"]}),
        ('weights={"run": 2}', {"weights": {"run": 2.0}}),
        ("mirror=False", {"mirror": False}),
        ("seed=5", {"seed": 5}),
    ],
)
def test_a_setting_is_read_by_the_annotation(setting: str, changed: dict[str, object]) -> None:
    config = override(Run(name="a"), [setting])
    assert config == dataclasses.replace(Run(name="a"), **changed)  # type: ignore[arg-type]
    assert isinstance(config.optim.clip, float | None)


def test_the_last_setting_wins_and_the_config_itself_stays() -> None:
    config = Run(name="a")
    assert override(config, ["seed=1", "optim.lr=0.5", "seed=2"]) == Run(name="a", seed=2, optim=Optim(lr=0.5))
    assert config == Run(name="a")
    assert override(config, []) is config


def test_numbers_that_only_go_together_change_in_any_order() -> None:
    for settings in (["optim.num_steps=200", "optim.clip=150"], ["optim.clip=150", "optim.num_steps=200"]):
        assert override(Run(name="a"), settings).optim == Optim(num_steps=200, clip=150.0)
    with pytest.raises(ConfigError, match="^optim: no clip of 150 in 100 steps$"):
        override(Run(name="a"), ["optim.clip=150"])


def test_a_whole_group_replaces_what_was_said_of_its_parts() -> None:
    assert override(Run(name="a"), ["optim.lr=3", 'optim={"num_steps": 7}']).optim == Optim(num_steps=7)
    assert override(Run(name="a"), ['optim={"num_steps": 7}', "optim.lr=3"]).optim == Optim(num_steps=7, lr=3.0)


def test_the_example_of_a_setting_is_one_of_the_config_at_hand() -> None:
    with pytest.raises(ConfigError, match="write for example --set num_steps=5$"):
        override(Small(), ["foo"])


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("optim.lr", "--set 'optim.lr' is not NAME=VALUE; write for example --set optim.lr=0.001"),
        ("=3", "--set '=3' is not NAME=VALUE"),
        ("optin.lr=1", "--set optin.lr: no setting 'optin'; did you mean 'optim'?"),
        ("optim.num_stepz=1", "--set optim.num_stepz: no setting 'optim.num_stepz'; did you mean 'num_steps'?"),
        ("optim.zzz=1", "no setting 'optim.zzz'; allowed: clip, lr, num_steps"),
        ("optim.lr.x=1", "--set optim.lr.x: optim.lr is a value, not a group of settings"),
        ("optim.lr=fast", "optim.lr: 'fast' is not allowed; allowed: a finite number"),
        ("optim.lr=nan", "optim.lr: nan is not allowed; allowed: a finite number"),
        ("optim.lr=-1", "^optim.lr is -1.0; allowed: above 0"),
        ("optim.num_steps=1e3", "optim.num_steps: '1e3' is not allowed; allowed: a whole number"),
        ("optim.clip=x", "optim.clip: 'x' is not allowed; allowed: a finite number, none"),
        ("kind=huge", "kind: 'huge' is not allowed; allowed: small, large, 3"),
        ("pool=min", "pool: 'min' is not allowed; allowed: mean, max"),
        ("mirror=yes", "mirror: 'yes' is not allowed; allowed: true or false"),
        ("widths=8", "widths: 8 is not allowed; allowed: a JSON list of a whole number"),
        ("widths=8,16", "widths: '8,16' is not JSON .*; allowed: a JSON list of a whole number"),
        ("widths=[1.5]", r"widths\[0\]: 1.5 is not allowed; allowed: a whole number"),
        ("size=[1]", "size: .* is not allowed; allowed: a JSON list of 2 values .a whole number, a finite number."),
        ('weights={"a": "b"}', "weights.a: 'b' is not allowed; allowed: a finite number"),
        ("weights=[]", "weights: .* allowed: a JSON object of a finite number"),
        ("optim=3", "optim: 3 is not allowed; allowed: a group of settings .Optim."),
    ],
)
def test_a_setting_that_is_not_allowed_says_what_is(setting: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        override(Run(name="a"), [setting])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({}, "config: lacks name, which Run has no default for"),
        ([], r"config: \[\] is not allowed; allowed: a group of settings"),
        ({"name": "a", "colour": 1}, "config: no setting 'colour'; allowed: "),
        ({"name": "a", "optim": {"lrr": 1}}, "optim: no setting 'lrr'; did you mean 'lr'?"),
        ({"name": 3}, "name: 3 is not allowed; allowed: text"),
        ({"name": "a", "seed": True}, "seed: True is not allowed; allowed: a whole number, none"),
        ({"name": "a", "mirror": 1}, "mirror: 1 is not allowed; allowed: true or false"),
        ({"name": "a", "optim": {"lr": 0}}, "^optim.lr is 0.0; allowed: above 0"),
    ],
)
def test_json_that_does_not_fit_says_what_would(content: object, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        from_json(Run, content)


def test_only_what_json_can_hold_goes_in() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Odd:
        thing: object = object()

    with pytest.raises(TypeError, match="configs cannot hold"):
        to_json(Odd())
    with pytest.raises(TypeError, match="allowed: an instance of a dataclass"):
        to_json({"a": 1})
    with pytest.raises(TypeError, match="allowed: an instance of a dataclass"):
        to_json(Run)


def test_a_suggestion_is_the_nearest_name_or_what_there_is() -> None:
    assert suggestion("wlak", ["walk", "run"]) == "did you mean 'walk'?"
    assert suggestion("zzz", ["walk", "run"]) == "allowed: run, walk"
    assert suggestion("zzz", []) == "there are none"


@dataclass(frozen=True, kw_only=True)
class _Folder:
    path: str = ""
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class _Drawn:
    count: int = 3
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class _Either:
    data: _Folder | _Drawn = field(default_factory=_Folder)


@pytest.mark.parametrize("config", [_Either(), _Either(data=_Drawn(count=7)), _Either(data=_Folder(path="a"))])
def test_one_of_several_groups_is_known_by_its_names(config: _Either) -> None:
    assert from_json(_Either, to_json(config)) == config


def test_of_several_groups_the_nearest_says_what_is_wrong() -> None:
    with pytest.raises(ConfigError, match="no setting 'cuont'; did you mean 'count'"):
        from_json(_Either, {"data": {"count": 2, "cuont": 3}})
    with pytest.raises(ConfigError, match="data.count"):
        override(_Either(data=_Drawn()), ["data.count=many"])
