"""`tubelet check`: what is wrong with a folder of clips, before a night of training finds out."""

from tubelet.datasets.check.findings import Finding
from tubelet.datasets.check.runner import CheckResult, check_clips

__all__ = ["CheckResult", "Finding", "check_clips"]
