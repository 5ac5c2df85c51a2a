"""From a config to clips."""

from __future__ import annotations

from tubelet.methods.anonymization.data import ClipSource, open_glyphs
from tubelet.methods.anonymization.recipes import AnonymizationConfig, GlyphData


def open_source(config: AnonymizationConfig) -> ClipSource:
    """The clips of a config.

    Raises:
        DatasetError: They or their labels cannot be read or used.
    """
    if isinstance(config.data, GlyphData):
        return open_glyphs(config.data)
    from tubelet.methods.anonymization.videos import open_videos

    return open_videos(config.data, config.shape, num_workers=config.num_workers)
