"""The metrics page and the log."""
