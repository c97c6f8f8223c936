"""Connections to model servers: opening them, and probing whether they are there."""
