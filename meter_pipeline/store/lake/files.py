"""Opens the file system that a path or a URL names: a folder of this machine, or an object store."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from meter_pipeline.host.folders import refusal
from meter_pipeline.host.scratch import Scratch
from meter_pipeline.store.errors import LakeError
from meter_pipeline.store.lake.interface import Files
from meter_pipeline.store.lake.local import LocalFiles
from meter_pipeline.store.lake.remote import RemoteFiles
from meter_pipeline.store.lake.stores import ObjectState

__all__ = ["Files", "LocalFiles", "ObjectState", "RemoteFiles", "open_files"]


def open_files(url: str, scratch: Scratch | None = None) -> Files:
    """`Files` for a path or a URL; files of an object store are written to `scratch` first.

    Raises:
        LakeError: No file system is known for it, or it cannot be used.
    """
    if url.startswith("file://"):
        return _local(_path_of(url))
    if "://" in url:
        return RemoteFiles(url, scratch)
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", url):
        raise LakeError("METER_LAKE_URL is neither a path nor a URL: give a folder, or s3://bucket/folder")
    return _local(Path(url))


def _local(folder: Path) -> LocalFiles:
    reason = refusal(folder.absolute())
    if reason is not None:
        raise LakeError(f"METER_LAKE_URL: {str(folder)!r} cannot be used: {reason}; name another folder")
    return LocalFiles(folder)


def _path_of(url: str) -> Path:
    """The path of a `file://` URL; a character that would begin a query or fragment is an error."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise LakeError("METER_LAKE_URL is no URL: write [ as %5B and ] as %5D, or give the path alone") from None
    if parts.netloc not in ("", "localhost"):
        raise LakeError(
            f"METER_LAKE_URL names a folder of the machine {parts.netloc!r}: write file:///, with three slashes"
        )
    if "#" in url or "?" in url:
        raise LakeError("METER_LAKE_URL: write # as %23 in a file:// URL, or give the path alone")
    return Path(unquote(parts.path))
