"""sagecraft: from a base model and a body of literature to a measured specialist."""

import os

# Before torch is loaded, since its OpenMP reads this once. Waiting threads spin by default, and on a machine with other
# work they spin where the threads they wait for should run: passes of SmolLM2's shape took 14.4 s then and 6.8 s with
# this; alone they took 0.98 s both ways.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

__version__ = "0.1.0"
