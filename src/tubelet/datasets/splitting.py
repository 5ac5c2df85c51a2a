"""Splits that keep clips of one source together and classes in proportion.

A group, the clips of one video or one person, goes into one split as a whole: else a network is tested on what it has
seen. Groups are dealt out one by one to where their classes are short most, after every class got a group for training,
then one for the test, then one for validation, as far as it has groups.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from tubelet.datasets.labelled import SPLITS, ClipSet, LabelledClip, Split
from tubelet.errors import DatasetError

_FIRST_NEEDS: tuple[Split, ...] = ("train", "test", "val")
_SHOWN = 5


def with_splits(clips: ClipSet, *, seed: int = 0, shares: tuple[float, float, float] = (0.7, 0.15, 0.15)) -> ClipSet:
    """Give every clip a split.

    Splits that the data came with stay. Where they have clips for training and none for validation, validation is taken
    out of training, by group; where they have none for the test, there will be none.

    Args:
        clips: What to split.
        seed: Of the order in which groups are dealt out. The same clips and seed give the same splits.
        shares: Of clips for train, val and test.

    Returns:
        The set with splits, and `split_rule` saying how they came about.

    Raises:
        DatasetError: There is one class only; some clips have a split and others have none; nothing is for training; a
            class has one clip or one group, so that it cannot be both learnt and tested.
        ValueError: Shares are not positive or do not add up to 1.
    """
    if min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
        raise ValueError(f"shares are {shares}; allowed: three numbers above 0 that add up to 1")
    if len(clips.classes) < 2:
        there = f"only {clips.classes[0]!r}" if clips.classes else "none"
        raise DatasetError(f"{clips.name}: two classes or more are needed to tell apart; there is {there}. Add another")
    given = Counter(clip.split for clip in clips.clips)
    if not given:
        raise DatasetError(f"{clips.name}: there are no clips to split")
    if given[None] and len(given) > 1:
        without = [clip.id for clip in clips.clips if clip.split is None]
        raise DatasetError(
            f"{clips.name}: {len(without)} of {len(clips)} clips have no split, {_listed(without)}, and the others "
            "have one; give all a split, or none"
        )
    by_share = dict(zip(SPLITS, shares, strict=True))
    if given[None]:
        return _split(clips, clips.clips, by_share, seed)
    if not given["train"]:
        raise DatasetError(
            f"{clips.name}: no clip is for training (there are {', '.join(sorted(map(str, given)))}); put some in train"
        )
    if given["val"]:
        return clips
    within = by_share["train"] + by_share["val"]
    for_training = [clip for clip in clips.clips if clip.split == "train"]
    return _split(clips, for_training, {name: by_share[name] / within for name in ("train", "val")}, seed)


def _split(clips: ClipSet, to_split: Sequence[LabelledClip], shares: Mapping[Split, float], seed: int) -> ClipSet:
    groups = _Groups(to_split)
    has_test = "test" in shares
    _check_enough(clips, groups, has_test=has_test)
    dealt = _deal(groups, shares, seed)
    done = {clip.id: dealt[clip.group] for clip in to_split}
    counts = Counter(done.values())
    named = [name for name in SPLITS if name in shares]
    missing = {
        name: [
            clips.classes[label]
            for label, its_groups in sorted(groups.of_class.items())
            if not any(dealt[group] == name for group in its_groups)
        ]
        for name in named
    }
    rule = (
        f"{' and '.join(named) if len(named) == 2 else 'train, val and test'} by group and class with seed {seed}: "
        + ", ".join(f"{counts[name]} clips in {name} (wanted {shares[name]:.0%})" for name in named)
        + "".join(
            f"; not in {name}, for lack of groups: {_listed(lacking)}" for name, lacking in missing.items() if lacking
        )
    )
    if not has_test:
        rule = f"{clips.split_rule}; of its train clips, {rule}"
    return replace(
        clips,
        clips=tuple(replace(clip, split=done.get(clip.id, clip.split)) for clip in clips.clips),
        split_rule=rule,
    )


class _Groups:
    """Groups of clips with the classes in each."""

    def __init__(self, clips: Sequence[LabelledClip]) -> None:
        self.counts: dict[str, Counter[int]] = defaultdict(Counter)
        self.sizes: Counter[str] = Counter()
        self.of_class: dict[int, list[str]] = defaultdict(list)
        for clip in clips:
            self.sizes[clip.group] += 1
            for label in clip.labels:
                if not self.counts[clip.group][label]:
                    self.of_class[label].append(clip.group)
                self.counts[clip.group][label] += 1
        self.clips_of_class = Counter(label for clip in clips for label in clip.labels)


def _check_enough(clips: ClipSet, groups: _Groups, *, has_test: bool) -> None:
    """Refuse where a class cannot be in two splits, or none can be."""
    thin = [label for label, its_groups in sorted(groups.of_class.items()) if len(its_groups) < 2]
    if not thin or (not has_test and len(thin) < len(groups.of_class)):
        return
    single = [clips.classes[label] for label in thin if groups.clips_of_class[label] == 1]
    one_group = [
        f"{clips.classes[label]} ({groups.clips_of_class[label]} clips of {groups.of_class[label][0]})"
        for label in thin
        if groups.clips_of_class[label] > 1
    ]
    wrong = [f"classes with one clip only: {_listed(single)}"] if single else []
    wrong += [f"classes with clips of one group only: {_listed(one_group)}"] if one_group else []
    raise DatasetError(
        f"{clips.name}: {'; '.join(wrong)}. Clips of one group stay together, so such a class cannot be both learnt "
        f"and {'tested' if has_test else 'validated'}: two groups or more of each are needed, three for train, val and "
        f"test. Add clips from other sources or take the class away; if the groups are not what you mean, give them "
        f"in a manifest (here a group is: {clips.group_rule})"
    )


def _deal(groups: _Groups, shares: Mapping[Split, float], seed: int) -> dict[str, Split]:
    """Which split each group goes to.

    Source: iterative stratification, Sechidis, Tsoumakas, Vlahavas 2011 (ECML PKDD), algorithm 1.
    Differs: what is dealt are groups, large ones first, and the first needs of every class come before proportion.
    """
    order = np.random.default_rng(seed).permutation(len(groups.sizes))
    names = sorted(groups.sizes)
    rank = {names[place]: number for number, place in enumerate(order)}
    by_size = sorted(names, key=lambda group: (-groups.sizes[group], rank[group]))
    wanted = {
        name: Counter({label: share * count for label, count in groups.clips_of_class.items()})
        for name, share in shares.items()
    }
    room = {name: share * groups.sizes.total() for name, share in shares.items()}
    dealt: dict[str, Split] = {}

    def give(group: str, name: Split) -> None:
        dealt[group] = name
        room[name] -= groups.sizes[group]
        for label, count in groups.counts[group].items():
            wanted[name][label] -= count

    rarest_first = sorted(groups.of_class, key=lambda label: (len(groups.of_class[label]), label))
    for name in (need for need in _FIRST_NEEDS if need in shares):
        for label in rarest_first:
            its_groups = groups.of_class[label]
            free = [group for group in its_groups if group not in dealt]
            if not free or any(dealt.get(group) == name for group in its_groups):
                continue
            # Training gets the largest, so that no class is learnt from a scrap; the others what fits their share.
            short = groups.clips_of_class[label] if name == "train" else wanted[name][label]
            give(min(free, key=lambda g: (abs(groups.counts[g][label] - short), groups.sizes[g], rank[g])), name)
    for group in by_size:
        if group in dealt:
            continue
        labels = groups.counts[group]
        # What it would put right: how short each split is of its classes, in clips, then of clips altogether.
        give(group, max(shares, key=lambda name: (sum(wanted[name][label] for label in labels), room[name])))
    return dealt


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
