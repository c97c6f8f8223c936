"""The processes of one Penstock: a supervisor, control and the workers."""
