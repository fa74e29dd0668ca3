"""S3, and stores that have its API, through the client of AWS for Python.

PyArrow has a client too. It asks for the size of each object before it reads it, sends a small one by three requests,
leaves an empty one behind where it deletes, and writes lines of its own to the terminal.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import IO, Any, ClassVar, NamedTuple
from urllib.parse import parse_qsl, unquote

import botocore.session
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    IncompleteReadError,
    NoCredentialsError,
    ReadTimeoutError,
    ResponseStreamingError,
)
from botocore.loaders import Loader

from meter_pipeline.store.errors import LakeError
from meter_pipeline.store.lake.stores import PIECE_BYTES, ObjectState

# A request is sent so often at most, with pauses that double, up to 15 seconds for all of them.
ATTEMPTS = 5
_CONNECT_SECONDS = 10
_READ_SECONDS = 60
# Connections that are kept open; each thread uses one at a time.
_CONNECTIONS = 64
# What is larger is sent in pieces (bytes): a single request takes 5 GB at most, and is repeated as a whole.
_PUT_BYTES = 128 * 2**20
_UPLOAD_BYTES = 16 * 2**20
# Keys that one request deletes.
_DELETED_AT_ONCE = 1_000
# A reader of a few columns gets as much as this at a time (bytes): row groups have their columns side by side.
_RANGE_BYTES = 4 * 2**20
_BROKEN_OFF = (IncompleteReadError, ReadTimeoutError, ResponseStreamingError)
# Where AWS looks for a bucket when no region is named.
_REGION = "us-east-1"
# Descriptions of AWS's services, which a client is made from: read once per process. A session keeps keys, too, so each
# store has its own.
_DESCRIPTIONS = Loader()
_OPTIONS = {"region", "scheme", "endpoint_override", "tls_ca_file_path"}


class S3Access(NamedTuple):
    """How another client reads the same objects.

    Attributes:
        key: The id of an access key.
        secret: Its secret.
        token: The token of keys that expire; None for others.
        region: The region.
        endpoint: Host and port of a store other than AWS; None for AWS.
        is_encrypted: Whether it is reached by https.
        authorities: A file with the certificates to trust; None for those of the system.
    """

    key: str
    secret: str
    token: str | None
    region: str
    endpoint: str | None
    is_encrypted: bool
    authorities: str | None


class S3Store:
    """The objects of all buckets; a key begins with its bucket.

    Args:
        keys: An access key and its secret, as they stand in a URL; looked for where AWS clients do when empty.
        query: Options, as they stand in a URL.
    """

    errors: ClassVar[tuple[type[Exception], ...]] = (BotoCoreError, ClientError, OSError)
    timeouts: ClassVar[tuple[type[Exception], ...]] = (ConnectTimeoutError, ReadTimeoutError)

    def __init__(self, keys: str, query: str) -> None:
        options = _read_options(query)
        key, _, secret = keys.partition(":")
        endpoint, scheme = options.get("endpoint_override"), options.get("scheme", "https")
        self._keys, self._options = (unquote(key), unquote(secret)), options
        self._session = botocore.session.get_session()
        self._session.register_component("data_loader", _DESCRIPTIONS)
        self._client: Any = self._session.create_client(
            "s3",
            region_name=options.get("region"),
            endpoint_url=f"{scheme}://{endpoint}" if endpoint else None,
            use_ssl=scheme == "https",
            verify=options.get("tls_ca_file_path"),
            aws_access_key_id=unquote(key) or None,
            aws_secret_access_key=unquote(secret) or None,
            config=Config(
                retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
                connect_timeout=_CONNECT_SECONDS,
                read_timeout=_READ_SECONDS,
                max_pool_connections=_CONNECTIONS,
                # Many stores with this API know no other.
                s3={"addressing_style": "path"} if endpoint else None,
                # Nor the checksums that are younger than the API.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    def access(self) -> S3Access:
        """How another client reads the objects, with keys that may expire within the hour.

        Raises:
            NoCredentialsError: There are no keys.
        """
        key, secret, token = *self._keys, None
        if not key:
            found = self._session.get_credentials()
            if found is None:
                raise NoCredentialsError
            key, secret, token = found.get_frozen_credentials()
        return S3Access(
            key,
            secret,
            token,
            region=self._client.meta.region_name or _REGION,
            endpoint=self._options.get("endpoint_override"),
            is_encrypted=self._options.get("scheme", "https") == "https",
            authorities=self._options.get("tls_ca_file_path"),
        )

    def list_below(self, prefix: str) -> Iterable[tuple[str, ObjectState]]:
        bucket, folder = _split(prefix)
        for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=folder):
            for found in page.get("Contents", ()):
                # Other clients mark a folder by an empty object.
                if not found["Key"].endswith("/"):
                    state = ObjectState(found["Size"], int(found["LastModified"].timestamp() * 1e9))
                    yield f"{bucket}/{found['Key']}", state

    def size(self, key: str) -> int:
        return int(_ask(self._client.head_object, **_place(key))["ContentLength"])

    def pieces(self, key: str) -> Iterator[bytes]:
        return self._pieces(key, 0, None)

    def open(self, key: str, size: int) -> Any:
        return _RangeFile(lambda start, end: b"".join(self._pieces(key, start, end)), size)

    def put(self, key: str, file: IO[bytes], size: int) -> None:
        file.seek(0)
        if size <= _PUT_BYTES:
            self._client.put_object(**_place(key), Body=file)
            return
        place = _place(key)
        upload = {**place, "UploadId": self._client.create_multipart_upload(**place)["UploadId"]}
        try:
            sent: list[dict[str, Any]] = []
            while content := file.read(_UPLOAD_BYTES):
                number = len(sent) + 1
                answer = self._client.upload_part(**upload, PartNumber=number, Body=content)
                sent.append({"PartNumber": number, "ETag": answer["ETag"]})
            self._client.complete_multipart_upload(**upload, MultipartUpload={"Parts": sent})
        except BaseException:
            # The pieces would be paid for as long as they wait. The reason is the error that is raised already.
            with suppress(*self.errors):
                self._client.abort_multipart_upload(**upload)
            raise

    def delete(self, keys: Sequence[str]) -> None:
        for start in range(0, len(keys), _DELETED_AT_ONCE):
            some = keys[start : start + _DELETED_AT_ONCE]
            if len(some) == 1 or not self._delete_together(some):
                for key in some:
                    self._client.delete_object(**_place(key))

    def copy(self, key: str, new: str) -> None:
        _ask(self._client.copy_object, **_place(new), CopySource=_place(key))

    def _pieces(self, key: str, start: int, end: int | None) -> Iterator[bytes]:
        """The bytes of an object from `start`, included, to `end`, excluded; a transfer that breaks off goes on."""
        request: dict[str, Any] = dict(_place(key))
        failures = 0
        while True:
            if start or end is not None:
                request["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
            answer = _ask(self._client.get_object, **request)
            request["IfMatch"] = answer["ETag"]
            left = answer["ContentLength"]
            try:
                while left:
                    piece = answer["Body"].read(PIECE_BYTES)
                    start, left = start + len(piece), left - len(piece)
                    yield piece
                return
            except _BROKEN_OFF:
                failures += 1
                if failures == ATTEMPTS:
                    raise

    def _delete_together(self, keys: Sequence[str]) -> bool:
        """Deletes objects of one bucket by one request; returns whether the store knows it."""
        bucket, _ = _split(keys[0])
        objects = [{"Key": _split(key)[1]} for key in keys]
        try:
            answer = self._client.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
        except ClientError as error:
            if error.response["ResponseMetadata"].get("HTTPStatusCode") in (400, 405, 501):
                return False
            raise
        return not answer.get("Errors")


class _RangeFile(io.RawIOBase):
    """A file whose bytes are fetched when they are read."""

    def __init__(self, fetch: Callable[[int, int], bytes], size: int) -> None:
        self._fetch = fetch
        self._size = size
        self._position = 0
        self._start, self._content = 0, b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = base + offset
        return self._position

    def read(self, size: int = -1) -> bytes:
        end = self._size if size < 0 else min(self._position + size, self._size)
        if end <= self._position:
            return b""
        if self._position < self._start or end > self._start + len(self._content):
            self._start = self._position
            self._content = self._fetch(self._start, min(max(end, self._start + _RANGE_BYTES), self._size))
        content = self._content[self._position - self._start : end - self._start]
        self._position = end
        return content


def _read_options(query: str) -> Mapping[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name in options:
        if name not in _OPTIONS:
            known = ", ".join(sorted(_OPTIONS))
            raise LakeError(f"METER_LAKE_URL cannot be used: it has an unknown option; those of s3:// are {known}")
    if options.get("scheme", "https") not in ("http", "https"):
        raise LakeError("METER_LAKE_URL cannot be used: its scheme is neither http nor https")
    return options


def _split(key: str) -> tuple[str, str]:
    """The bucket, and the key within it."""
    bucket, _, rest = key.partition("/")
    return bucket, rest


def _place(key: str) -> dict[str, str]:
    bucket, rest = _split(key)
    return {"Bucket": bucket, "Key": rest}


def _ask(call: Callable[..., Any], **request: Any) -> Any:
    """The answer about an object."""
    try:
        return call(**request)
    except ClientError as error:
        # HEAD gets no body, so no code but the status.
        if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
            raise FileNotFoundError(f"{request['Bucket']}/{request['Key']} does not exist") from None
        raise
