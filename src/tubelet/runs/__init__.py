"""What a run leaves behind: its folder, its log, its Report; and the one progress bar."""

from tubelet.runs.directory import RunDirectory
from tubelet.runs.files import to_json_text, write_atomically, write_bytes, write_json, write_text
from tubelet.runs.progress import Progress, track
from tubelet.runs.report import Failure, Metric, Report, installed_versions, markdown_table, this_command

__all__ = [
    "Failure",
    "Metric",
    "Progress",
    "Report",
    "RunDirectory",
    "installed_versions",
    "markdown_table",
    "this_command",
    "to_json_text",
    "track",
    "write_atomically",
    "write_bytes",
    "write_json",
    "write_text",
]
