"""Model servers: connecting to them, probing whether they work, and reading their gauges."""
