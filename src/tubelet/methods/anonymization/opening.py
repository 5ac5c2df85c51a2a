"""From a config to clips."""

from __future__ import annotations

from tubelet.datasets.labelled import SPLITS
from tubelet.datasets.private_people import draw_private_people
from tubelet.methods.anonymization.data import ClipSource, MemorySource, open_glyphs
from tubelet.methods.anonymization.model import VitShape
from tubelet.methods.anonymization.recipes import AnonymizationConfig, GlyphData, PeopleData
from tubelet.runs import Progress


def open_source(config: AnonymizationConfig) -> ClipSource:
    """The clips of a config.

    Raises:
        DatasetError: They or their labels cannot be read or used.
    """
    if isinstance(config.data, GlyphData):
        return open_glyphs(config.data)
    if isinstance(config.data, PeopleData):
        return open_people(config.data, config.shape)
    from tubelet.methods.anonymization.videos import open_videos

    return open_videos(config.data, config.shape, num_workers=config.num_workers)


def open_people(data: PeopleData, shape: VitShape) -> MemorySource:
    """The drawn people, drawn, which takes minutes."""
    counts = dict(zip(SPLITS, (data.num_train, data.num_val, data.num_test), strict=True))
    with Progress() as progress:
        line = progress.add("drawing people", sum(counts.values()), "clips")
        splits = {
            split: draw_private_people(
                split,
                counts[split],
                seed=data.seed,
                num_frames=shape.num_frames,
                size_px=shape.size_px,
                fps=data.fps,
                on_clips=line.advance,
            )
            for split in SPLITS
        }
        line.finish()
    return MemorySource("drawn people", splits, split_rule="test clips have places, bodies and views of their own")
