"""The clock of sessions (S2): monotonic, and with the time in which the machine was stopped."""

import time

if hasattr(time, "CLOCK_BOOTTIME"):

    def now() -> float:
        """Returns seconds since a fixed point of time."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

else:

    def now() -> float:
        """Returns seconds since a fixed point of time."""
        return time.monotonic()
