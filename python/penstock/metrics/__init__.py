"""What Penstock tells about itself: the metrics page and the log."""
