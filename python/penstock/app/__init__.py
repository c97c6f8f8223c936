"""The composition: what a worker, control and the whole of Penstock are made of, and how each is run."""
