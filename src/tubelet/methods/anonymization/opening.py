"""From a config to clips."""

from __future__ import annotations

from tubelet.methods.anonymization.data import ClipSource, open_glyphs, open_people
from tubelet.methods.anonymization.recipes import AnonymizationConfig, GlyphData, PeopleData


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
