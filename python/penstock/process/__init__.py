"""The processes of one Penstock: a supervisor, control and the workers (design §2, contract §5)."""
