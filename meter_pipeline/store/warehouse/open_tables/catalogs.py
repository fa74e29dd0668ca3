"""Opens the catalog that lists the open tables: a SQL database or a REST service."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.exceptions import (
    AuthorizationExpiredError,
    CommitFailedException,
    ForbiddenError,
    RESTError,
    UnauthorizedError,
)
from sqlalchemy.exc import SQLAlchemyError

from meter_pipeline.store.errors import WarehouseError
from meter_pipeline.store.lake.files import LocalFiles
from meter_pipeline.store.lake.lake import Lake
from meter_pipeline.store.ledger.database import escape_password

#: The catalog's name: the environment variables `PYICEBERG_CATALOG__METER__…` are further options of it.
NAME = "meter"
#: The folder of the tables' own metadata, in the lake.
FOLDER = "iceberg"


def show(url: str) -> str:
    """The catalog's URL without a password and options, for messages."""
    return re.sub(r"://[^/]*@", "://", url.partition("?")[0])


def address_of(lake: Lake, name: str) -> str:
    """Where engines find a file of the lake."""
    address = lake.files.uri(name)
    return f"file://{address}" if isinstance(lake.files, LocalFiles) else address


def open_catalog(url: str, lake: Lake, lake_url: str, credential: str | None = None) -> Catalog:
    """Opens a catalog, and creates the tables that a SQL database needs for it.

    Args:
        url: `sqlite:///…`, `postgresql://…`, or `http(s)://…` for a REST service.
        lake: The lake that the tables show.
        lake_url: The lake's URL, with its keys and options.
        credential: What a REST service asks for: a token, or the id and secret of a client with a colon between them.

    Raises:
        WarehouseError: The URL is not of a kind that is known, or the lake's folder has a name that Iceberg misreads.
    """
    scheme = url.partition("://")[0]
    options = _store_options(lake_url)
    if isinstance(lake.files, LocalFiles) and "#" in str(lake.files.root.absolute()):
        raise WarehouseError(f"the lake {lake.files.root} has a # in its path, which ends a path in Iceberg: move it")
    if scheme in ("http", "https"):
        if credential:
            options["credential" if ":" in credential else "token"] = credential
        return load_catalog(NAME, type="rest", uri=url, **options)
    if scheme.startswith("sqlite"):
        database = url
    elif re.fullmatch(r"postgres(ql)?(\+\w+)?", scheme):
        database = escape_password(url).replace(scheme, "postgresql+psycopg", 1)
    else:
        raise WarehouseError(
            f"METER_CATALOG_URL: no catalog is known for {scheme}:// URLs; give sqlite:///, postgresql:// or http(s)://"
        )
    return load_catalog(NAME, type="sql", uri=database, warehouse=address_of(lake, FOLDER), **options)


def _store_options(lake_url: str) -> dict[str, str]:
    """What pyiceberg calls the options of the URL of a lake on S3."""
    if not lake_url.startswith("s3://"):
        return {}
    address, _, query = lake_url.removeprefix("s3://").partition("?")
    given = dict(parse_qsl(query))
    keys, at, _ = address.rpartition("@")
    key, _, secret = keys.partition(":")
    endpoint = given.get("endpoint_override")
    options = {
        "s3.endpoint": f"{given.get('scheme', 'https')}://{endpoint}" if endpoint else None,
        "s3.region": given.get("region"),
        "s3.access-key-id": unquote(key) if at else None,
        "s3.secret-access-key": unquote(secret) if at else None,
    }
    return {name: value for name, value in options.items() if value}


@contextmanager
def explained(url: str) -> Iterator[None]:
    """Turns errors of the catalog and of its files into one line.

    Raises:
        WarehouseError: The block failed.
    """
    try:
        yield
    except (UnauthorizedError, ForbiddenError, AuthorizationExpiredError) as error:
        raise _failed(url, error, "check METER_CATALOG_CREDENTIAL and its rights") from None
    except CommitFailedException as error:
        raise _failed(url, error, "another program changes the tables; publish again") from None
    except SQLAlchemyError as error:
        raise _failed(url, getattr(error, "orig", None) or error, "check METER_CATALOG_URL and the server") from None
    except (RESTError, OSError, ValueError) as error:
        raise _failed(url, error, "check METER_CATALOG_URL and the server") from None


def _failed(url: str, error: Any, way_out: str) -> WarehouseError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    parts = urlsplit(url)
    for secret in (parts.password, unquote(parts.password or "")):
        reason = reason.replace(secret, "***") if secret else reason
    return WarehouseError(f"published, but the open tables of {show(url)} are not up to date: {reason}; {way_out}")
