"""A lake on an object store."""

from __future__ import annotations

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import unquote

import pyarrow as pa

from meter_pipeline.host.causes import find_cause
from meter_pipeline.host.scratch import Scratch, ScratchError
from meter_pipeline.store.errors import LakeError
from meter_pipeline.store.lake.interface import Files
from meter_pipeline.store.lake.stores import ArrowStore, ObjectState, ObjectStore

if TYPE_CHECKING:
    from meter_pipeline.store.lake.s3 import S3Access

# Objects up to this size (bytes) are read whole: one request instead of one for each column.
_READ_WHOLE_BYTES = 32 * 2**20
# What is kept in memory of objects that were read or written (bytes): of each, and of all.
_KEPT_BYTES = 2 * 2**20
_KEPT_BYTES_OF_ALL = 32 * 2**20
# A store that did not answer is asked again only after this time (seconds). A request waits for minutes: a sync would
# keep its claims for hours if each strategy had to find out by itself.
_REST_SECONDS = 60


class RemoteFiles(Files):
    """An object store, as `s3://bucket/folder`.

    The URL may hold a password and options of the connection; messages show it without both.
    """

    def __init__(self, url: str, scratch: Scratch | None = None) -> None:
        self._scratch = scratch or Scratch()
        scheme, _, rest = url.partition("://")
        address, _, query = rest.partition("?")
        keys, place = _split_keys(address)
        self._secrets = _secrets(url, keys)
        self.url = f"{scheme}://{place}".rstrip("/")
        if re.search(r"\s", url):
            raise LakeError(
                "METER_LAKE_URL cannot be used: there is a space in it; write %20 for one that belongs there"
            )
        try:
            self._store, root = _open_store(url, scheme, keys, place, query)
        except LakeError:
            raise
        except Exception as error:
            raise LakeError(f"METER_LAKE_URL cannot be used: {self._reason(error)}") from None
        self.root = root.strip("/")
        if not self.root:
            raise LakeError("METER_LAKE_URL names no bucket: give s3://bucket/folder")
        self._kept = _Kept()
        self._outage, self._outage_until = "", 0.0

    def find(self, folder: str) -> list[str]:
        return sorted(self.list_states(folder))

    def list_states(self, folder: str) -> dict[str, ObjectState]:
        """The objects anywhere below `folder`, by name, as they are now."""
        with self._explained():
            return {key[len(self.root) + 1 :]: state for key, state in self._store.list_below(f"{self._key(folder)}/")}

    def read(self, name: str) -> bytes:
        with self._explained():
            return b"".join(self._store.pieces(self._key(name)))

    def source(self, name: str, size: int | None = None) -> Any:
        if size is None:
            size = self.size(name)
        if size > _READ_WHOLE_BYTES:
            with self._explained():
                return self._store.open(self._key(name), size)
        content = self._kept.find(name)
        if content is None:
            content = self.read(name)
            self._kept.keep(name, content)
        return pa.BufferReader(content)

    def size(self, name: str) -> int:
        with self._explained():
            return self._store.size(self._key(name))

    def s3_access(self) -> S3Access | None:
        """How another client reads the objects; None for a store other than S3.

        Raises:
            LakeError: There are no keys.
        """
        if not self.url.startswith("s3://"):
            return None
        store: Any = self._store
        with self._explained():
            found: S3Access = store.access()
        return found

    def fetch(self, name: str, path: Path) -> None:
        """Copies an object to a file of this machine.

        Raises:
            FileNotFoundError: The object does not exist any more.
        """
        with self._explained(), path.open("wb") as file:
            for piece in self._store.pieces(self._key(name)):
                file.write(piece)

    @contextmanager
    def writing(self, name: str) -> Iterator[IO[bytes]]:
        # An upload that is given up half-way must leave nothing: the file is written here first.
        try:
            with self._scratch.open() as file:
                yield file
                file.flush()
                size = file.tell()
                with self._explained():
                    self._store.put(self._key(name), file, size)
                if size <= _KEPT_BYTES:
                    file.seek(0)
                    self._kept.keep(name, file.read())
                    file.seek(size)
        except (OSError, ScratchError) as error:
            cause = find_cause(error) or getattr(error, "strerror", None) or error
            raise LakeError(f"cannot write {self.uri(name)} by way of {self._scratch.folder}: {cause}") from error

    def delete(self, names: Iterable[str]) -> None:
        keys = [self._key(name) for name in names]
        if keys:
            with self._explained():
                self._store.delete(keys)

    def find_old(self, folder: str, before: float) -> list[str]:
        return sorted(name for name, state in self.list_states(folder).items() if state.written < before * 1e9)

    def adopt(self, name: str, new: str) -> None:
        with self._explained():
            self._store.copy(self._key(name), self._key(new))

    def uri(self, name: str) -> str:
        # Clients of S3 take an address literally: what the URL of the lake spells as %20 is a blank in it.
        return f"s3://{self._key(name)}" if self.url.startswith("s3://") else f"{self.url}/{name}"

    def forget(self) -> None:
        self._kept = _Kept()

    def _key(self, name: str) -> str:
        return f"{self.root}/{name}"

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turns the store's errors into one line, so that none of them is mistaken for a damaged file."""
        if time.monotonic() < self._outage_until:
            raise LakeError(self._outage)
        try:
            yield
        except FileNotFoundError:
            raise
        except self._store.errors as error:
            line = f"lake {self.url}: {self._reason(error)}; check METER_LAKE_URL, its credentials and the network"
            if isinstance(error, self._store.timeouts):
                self._outage, self._outage_until = line, time.monotonic() + _REST_SECONDS
            raise LakeError(line) from None

    def _reason(self, error: Exception) -> str:
        text = " ".join(str(error).split())
        for secret in self._secrets:
            text = text.replace(secret, "***")
        # The rest repeats the reason, or numbers the request.
        text = re.split(r"; Details: | \(Request ID: ", text)[0]
        return re.sub(r"^An error occurred \((\w+)\) when calling the (\w+) operation.*?: (.+)", r"\3 (\2: \1)", text)


class _Kept:
    """Contents of small objects that were read or written last. Objects never change, so they stay right."""

    def __init__(self) -> None:
        self._contents: OrderedDict[str, bytes] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def find(self, name: str) -> bytes | None:
        """The content of an object, if it is kept."""
        with self._lock:
            if name in self._contents:
                self._contents.move_to_end(name)
            return self._contents.get(name)

    def keep(self, name: str, content: bytes) -> None:
        """Keeps the content of a small object, and forgets those that were not used for longest."""
        if len(content) > _KEPT_BYTES:
            return
        with self._lock:
            self._size += len(content) - len(self._contents.pop(name, b""))
            self._contents[name] = content
            while self._size > _KEPT_BYTES_OF_ALL:
                self._size -= len(self._contents.popitem(last=False)[1])


def _open_store(url: str, scheme: str, keys: str, place: str, query: str) -> tuple[ObjectStore, str]:
    """The store of a URL, and the key of its folder."""
    if scheme == "s3":
        from meter_pipeline.store.lake.s3 import S3Store

        return S3Store(keys, query), unquote(place)
    # Only a few lakes need it, and it takes a while to load.
    from pyarrow import fs

    files, root = fs.FileSystem.from_uri(url)
    return ArrowStore(files), root


def _split_keys(address: str) -> tuple[str, str]:
    """The part of a URL before the @, and the rest. A secret may have slashes, and a folder may have an @."""
    match = re.match(r"([^/@:]*:[^@]*|[^/@]*)@(.*)", address, re.DOTALL)
    return (match[1], match[2]) if match else ("", address)


def _secrets(url: str, before: str) -> list[str]:
    """Parts of a URL that must not be shown, in every spelling, longest first; `before` is the part before the @."""
    values = re.findall(r"[?&][^=&]*(?:token|secret|key|sig|password)[^=&]*=([^&]+)", url, re.IGNORECASE)
    found = {url, before, before.partition(":")[2], *values}
    return sorted({spelling for text in found for spelling in (text, unquote(text)) if spelling}, key=len, reverse=True)
