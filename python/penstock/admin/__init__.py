"""The admin plane: its own listener, its own token."""
