"""A stand-in for Snowflake: starts `snowflake_process` with the packages that it needs, and makes addresses for it.

Those packages, fakesnow and the releases of DuckDB and sqlglot that it asks for, are in a folder beside the
environment, since they are not the ones that this package is locked to.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

USER, PASSWORD, DATABASE = "deliverer", "open sesame/@:%", "ANALYTICS"
_PACKAGES = Path(sys.prefix) / "fakesnow"


class SnowflakeServer:
    """A running server with the database ANALYTICS; a context manager that starts and ends it."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="meter-snowflake-")
        self._refusals = Path(self._folder.name) / "refusals"
        self._refusals.touch()
        self._statements = Path(self._folder.name) / "statements"
        self._statements.touch()
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("snowflake_process.py"))],
            env={
                **os.environ,
                "PYTHONPATH": str(_PACKAGES),
                "PYTHONWARNINGS": "ignore",
                "SNOWFLAKE_USER": USER,
                "SNOWFLAKE_PASSWORD": PASSWORD,
                "SNOWFLAKE_DATABASE": DATABASE,
                "SNOWFLAKE_FOLDER": self._folder.name,
                # Where fakesnow keeps what is uploaded.
                "TMPDIR": self._folder.name,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def __enter__(self) -> SnowflakeServer:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()

    def address(self, schema: str, *, user: str = USER, password: str = PASSWORD) -> str:
        """The address of a schema, for `deliver`."""
        login = f"{user}:{quote(password, safe='')}"
        return f"snowflake://{login}@an-account/{DATABASE}/{schema}?host=127.0.0.1&port={self.port}&protocol=http"

    def refuse(self, *patterns: str) -> None:
        """Refuses the statements that contain a match of one of some regular expressions from now on."""
        self._refusals.write_text("".join(f"{pattern}\n" for pattern in patterns))

    def statements(self) -> list[str]:
        """The statements so far, one of each line."""
        return self._statements.read_text().splitlines()
