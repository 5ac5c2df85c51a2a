"""The list of third-party files."""

import re

import pytest

from tubelet import weights
from tubelet.errors import WeightsError
from tubelet.weights import LocalFile


def test_the_list_is_complete_and_pinned() -> None:
    assert len(weights.ALL_WEIGHTS) == 34
    assert len({w.name for w in weights.ALL_WEIGHTS}) == 34
    assert len({weights.cache_path(w) for w in weights.ALL_WEIGHTS}) == 34
    assert len(weights.MOTIONS) == 20
    for item in weights.ALL_WEIGHTS:
        assert re.fullmatch("[0-9a-f]{64}", item.sha256), item.name
        assert item.size_bytes > 1000
        assert item.licence in {"Apache-2.0", "MIT", "BSD-3-Clause", "Zlib"}
        assert not isinstance(item.origin, LocalFile)
        assert re.fullmatch(r"[0-9][0-9.]*", item.origin.version), item.name
        assert item.group in {"recognition", "anonymization", "backbones", "motions", "footage", "digits", "language"}


def test_files_are_found_by_name_and_by_group() -> None:
    assert weights.find("oidv4_ssd") == (weights.OIDV4_SSD,)
    assert weights.find("motions") == weights.MOTIONS
    assert weights.find("all") == weights.ALL_WEIGHTS


def test_a_typo_gets_a_hint() -> None:
    with pytest.raises(WeightsError, match=r"there is no weights file 'oidv4_sd'; did you mean 'oidv4_ssd'\?"):
        weights.find("oidv4_sd")
    with pytest.raises(WeightsError, match="there is no weights file 'xyzzy'; `tubelet weights list`"):
        weights.find("xyzzy")
