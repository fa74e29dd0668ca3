"""Spares a process the imports of packages that it has no use for."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from typing import Any


def spare_pandas() -> None:
    """Keeps PyArrow from importing pandas, which it does for its first array if pandas is installed: a quarter second.

    From then on PyArrow makes no DataFrames in this process, so only a process that makes none may call this.
    """
    if "pandas" in sys.modules:
        return
    import pyarrow as pa

    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        # With its first array PyArrow finds out, once and for all, whether there is pandas.
        pa.array([""])
    finally:
        sys.meta_path.remove(finder)


class _NoPandas(MetaPathFinder):
    def find_spec(self, fullname: str, path: object, target: object = None) -> Any:
        if fullname == "pandas":
            raise ImportError(fullname)
        return None
