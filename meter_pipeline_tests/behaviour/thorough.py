"""How thorough the tests are: property tests that take long try `THOROUGH` times more, as in `make slow`."""

import os

TIMES = int(os.environ.get("THOROUGH", "1"))
