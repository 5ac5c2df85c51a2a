"""The `tubelet` command: one module per sub-command, nothing heavy imported before a sub-command runs."""
