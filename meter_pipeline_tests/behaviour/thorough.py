"""How thorough the tests are: slow property tests try `THOROUGH` times as many examples, as in `make slow`."""

import os

TIMES = int(os.environ.get("THOROUGH", "1"))
