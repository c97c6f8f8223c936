"""A simulated model server for tests and load runs; a small real one is in `penstock.engines`.

It speaks HTTP/1.1 on a socket of its own, sends the bytes of a real model server at its pace without a GPU, and can
misbehave on purpose.
"""

from penstock.sim.faults import Fault
from penstock.sim.model import INSTANT
from penstock.sim.profiles import PROFILES, Profile
from penstock.sim.server import SimServer
from penstock.sim.stats import Abort, Stats

__all__ = ["INSTANT", "PROFILES", "Abort", "Fault", "Profile", "SimServer", "Stats"]
