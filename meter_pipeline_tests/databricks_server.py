"""A stand-in for Databricks: starts `databricks_process`, and makes addresses for it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import quote

TOKEN, CATALOG, HTTP_PATH = "dapi/@open:sesame%", "spark_catalog", "/sql/1.0/warehouses/0a1b2c"


class DatabricksServer:
    """A running server with the catalog `spark_catalog` and the volume `files.uploads` in it."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="meter-databricks-")
        folder = Path(self._folder.name)
        self.certificate = folder / "ca.pem"
        _write_certificate(self.certificate)
        self._refusals, self._statements = folder / "refusals", folder / "statements"
        self._refusals.touch()
        self._statements.touch()
        #: What is in the volume.
        self.volume = folder / "Volumes" / CATALOG / "files" / "uploads"
        self.volume.mkdir(parents=True)
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("databricks_process.py"))],
            env={
                **os.environ,
                "PYTHONWARNINGS": "ignore",
                "DATABRICKS_TOKEN": TOKEN,
                "DATABRICKS_HTTP_PATH": HTTP_PATH,
                "DATABRICKS_FOLDER": self._folder.name,
            },
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def __enter__(self) -> DatabricksServer:
        return self

    def __exit__(self, *exc_info: object) -> None:
        # At the end of its input it ends Java as well.
        self._process.communicate()
        self._folder.cleanup()

    def address(self, schema: str, *, token: str = TOKEN) -> str:
        """The address of a schema, for `deliver`."""
        options = f"http_path={quote(HTTP_PATH)}&volume=files.uploads&ca_cert={self.certificate}"
        return f"databricks://token:{quote(token, safe='')}@127.0.0.1:{self.port}/{CATALOG}/{schema}?{options}"

    def refuse(self, *patterns: str) -> None:
        """Refuses the statements that contain a match of one of some regular expressions from now on."""
        self._refusals.write_text("".join(f"{pattern}\n" for pattern in patterns))

    def statements(self) -> list[str]:
        """The statements so far, one of each line."""
        return self._statements.read_text().splitlines()


def _write_certificate(path: Path) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "stand-in")])
    now = datetime.now(timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    )
