"""`tubelet evaluate`: measures a run of this method by its config."""

from __future__ import annotations

from pathlib import Path

from tubelet.methods.recognition.clips.config import ClipConfig, FusionConfig, SkeletonClipConfig
from tubelet.methods.recognition.recipes import MocapSkeletonConfig
from tubelet.runs import Report, RunDirectory


def evaluate(
    config: MocapSkeletonConfig | ClipConfig | SkeletonClipConfig | FusionConfig, run: RunDirectory, out: Path
) -> Report:
    """Measure the model of a run.

    Args:
        config: Of the run.
        run: Its folder.
        out: An existing folder for predictions, pictures and tables.

    Raises:
        ConfigError: The training did not come to its end.
    """
    if isinstance(config, MocapSkeletonConfig):
        from tubelet.methods.recognition.mocap_evaluate import evaluate_mocap

        return evaluate_mocap(config, run)
    from tubelet.methods.recognition.clips.evaluation import evaluate_clips

    return evaluate_clips(config, run, out)
