"""A process that loads for long takes memory from an allocator that gives it back."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    (sys.platform, platform.machine(), platform.libc_ver()[0]) != ("linux", "x86_64", "glibc"),
    reason="other systems have other allocators",
)
_CODE = """
from meter_pipeline.host.memory import spare_memory
spare_memory()
import pyarrow as pa
pa.array([1])
print(pa.default_memory_pool().backend_name)
"""


@pytest.mark.parametrize(("given", "pool"), [({}, "jemalloc"), ({"ARROW_DEFAULT_MEMORY_POOL": "system"}, "system")])
def test_arrow_has_an_allocator_that_keeps_little_unless_another_one_is_set(given: dict[str, str], pool: str) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "ARROW_", "JE_"))}
    done = subprocess.run([sys.executable, "-c", _CODE], env=kept | given, capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == (pool, "")
