"""The targets of `deliver` in `meter.yaml`: other databases that get what a publication holds.

A target's address may name environment variables, and only those may hold a password: `to: env:ANALYTICS_URL`, or
`to: postgresql://meter:${ANALYTICS_PASSWORD}@db.example/analytics`. They are read when a delivery begins, so neither
the configuration nor Dagster's definitions ever hold a secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from meter_pipeline.errors import MeterPipelineError

#: What is delivered where `tables` does not say anything else, as `schema.name` of the warehouse, with `*` as wildcard.
DEFAULT_TABLES = (
    "marts.*",
    "results.*",
    "meter.strategies",
    "meter.schedules",
    "meter.jobs",
    "meter.findings",
    "meter.item_changes",
    "meter.item_versions",
)
_SCHEMES = {
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "sqlite": "sqlite",
    "duckdb": "duckdb",
    "md": "duckdb",
    "clickhouse": "clickhouse",
    "clickhouses": "clickhouse",
    "bigquery": "bigquery",
    "snowflake": "snowflake",
    "databricks": "databricks",
}
# Targets that are servers, with an address that every client of theirs knows.
_SERVERS = {
    "postgresql": "postgresql://user@host/database",
    "clickhouse": "clickhouse://user@host:8123/database",
    "snowflake": "snowflake://user@account/database/schema?warehouse=name",
    "databricks": "databricks://token:${TOKEN}@host/catalog/schema?http_path=/sql/1.0/warehouses/id&volume=name",
}
_ADDRESSES = "postgresql:, clickhouse:, bigquery:, snowflake:, databricks:, sqlite:, duckdb:, md:"
_NO_SCHEMAS = {
    "sqlite": "a SQLite file has no schemas: remove `schema`",
    "clickhouse": "ClickHouse has databases in the place of schemas: remove `schema`, and name the database in `to`",
    "bigquery": "`to` names the dataset of BigQuery already: remove `schema`",
    "snowflake": "`to` names the schema of Snowflake already: remove `schema`",
    "databricks": "`to` names the schema of Databricks already: remove `schema`",
}
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_SCHEMA = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_TABLE = re.compile(r"[\w*]+\.[\w*]+")
_SNOWFLAKE_PATH = re.compile(r"[A-Za-z_][\w$]*/[A-Za-z_][\w$]*")
_DATABRICKS_PATH = re.compile(r"[\w-]+/\w+")
_VOLUME = re.compile(r"(?:(?:[\w-]+\.)?\w+\.)?[\w-]+")
_DATASET = re.compile(r"bigquery://(?:[\w.-]+:)?[\w-]+/\w+")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_WHOLE = "env:"
_MOTHERDUCK = "md:"
# Variables that MotherDuck's own client reads; the first one is the option of its address as well.
_TOKENS = ("motherduck_token", "MOTHERDUCK_TOKEN")
_HIDDEN = "***"
# Shorter passwords are parts of ordinary words, so that removing them would only make a message unreadable.
_SHORTEST = 4


class DeliveryConfigError(MeterPipelineError):
    """A target's address cannot be used; the message never quotes what a variable holds."""


@dataclass(frozen=True)
class Address:
    """Where a target is.

    Attributes:
        kind: postgresql, clickhouse, bigquery, snowflake, databricks, sqlite or duckdb.
        url: The URL or path to connect to, which may hold a password. Never shown by `repr`.
        shown: The same without a password, for messages.
        secrets: What must not be in a message, in every spelling.
    """

    kind: str
    url: str = field(repr=False)
    shown: str
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def is_file(self) -> bool:
        """Whether the target is a file of this machine, which the first delivery makes."""
        return self.kind in ("sqlite", "duckdb")

    def scrub(self, text: str) -> str:
        """The text without the secrets, in case a driver or a server has repeated one."""
        for secret in self.secrets:
            text = text.replace(secret, _HIDDEN)
        return text


@dataclass(frozen=True)
class DeliveryTarget:
    """A target of `deliver`, as it stands in `meter.yaml`.

    Attributes:
        name: Its name there, which is the name of its asset in Dagster as well.
        to: The address, with the names of variables in the place of secrets.
        schema: The schema for the tables; a SQLite file has none, and of ClickHouse, BigQuery, Snowflake and Databricks
            the address names the database, dataset or schema.
        tables: What is delivered, as `schema.name` of the warehouse, with `*` as wildcard.
        line: The line in the file.
    """

    name: str
    to: str
    schema: str = "meter"
    tables: tuple[str, ...] = DEFAULT_TABLES
    line: int = field(default=0, compare=False)

    @property
    def kind(self) -> str | None:
        """The kind of database, as in `Address`; None where a variable holds the whole address."""
        return _SCHEMES.get(self.to.partition(":")[0].partition("+")[0])

    def resolve(self, read: Callable[[str], str | None]) -> Address:
        """The address with what its variables hold.

        Args:
            read: Reads a variable; None if it is not set.

        Raises:
            DeliveryConfigError: A variable is not set, or the address is not usable.
        """
        where = f"deliver.{self.name}.to"

        def value_of(variable: str) -> str:
            value = read(variable)
            if value is None:
                raise DeliveryConfigError(f"{where}: {variable} is not set: put it into the environment or .env")
            return value

        if self.to.startswith(_WHOLE):
            url = value_of(self.to.removeprefix(_WHOLE))
        elif (whole := _VARIABLE.fullmatch(self.to)) is not None:
            url = value_of(whole[1])
        else:
            head, at, tail = self.to.rpartition("@")
            # A password may hold any character, and stands where a URL gives some of them a meaning.
            head = _VARIABLE.sub(lambda found: quote(value_of(found[1]), safe=""), head)
            place, mark, query = tail.partition("?")
            place = _VARIABLE.sub(lambda found: value_of(found[1]), place)
            is_server = self.kind in _SERVERS
            # So it does in the options of a server, which its client decodes.
            query = _VARIABLE.sub(
                lambda found: quote(value_of(found[1]), safe="") if is_server else value_of(found[1]), query
            )
            url = head + at + place + mark + query
        return parse_address(_with_token(url, where, read) if url.startswith(_MOTHERDUCK) else url, where)


def _with_token(url: str, where: str, read: Callable[[str], str | None]) -> str:
    """The address with MotherDuck's token: without one, its client would open a browser and wait for somebody."""
    query = url.partition("?")[2]
    if any(map(_token_of, query.split("&"))):
        return url
    token = next(filter(None, map(read, _TOKENS)), None)
    if token is None:
        raise DeliveryConfigError(
            f"{where}: {_TOKENS[0]} is not set: put MotherDuck's token into the environment or .env"
        )
    return f"{url}{'&' if query else '?'}{_TOKENS[0]}={token}"


def check_target(name: str, to: str, schema: str | None, tables: tuple[str, ...]) -> str | None:
    """What is wrong with a target in `meter.yaml`, as half a line; None if nothing is."""
    if not _NAME.fullmatch(name):
        return f"{name!r} is not a valid name of a target: give a-z, 0-9 and _, beginning with a letter"
    scheme = to.partition(":")[0]
    is_variable = to.startswith(_WHOLE) or _VARIABLE.fullmatch(to)
    if to.startswith(_WHOLE) and not _VARIABLE.fullmatch(f"${{{to.removeprefix(_WHOLE)}}}"):
        return "env: must be followed by the name of an environment variable"
    if not is_variable and scheme not in _SCHEMES:
        return f"`to` must begin with {_ADDRESSES} or env:"
    if not is_variable and _holds_password(to):
        return "`to` holds a password: write ${NAME} in its place, and put it into the environment variable NAME"
    if not is_variable and scheme == "databricks":
        try:
            lacking = _find_lacking(_Parts(scheme, _VARIABLE.sub("x", to.partition(":")[2])))
        except ValueError:
            lacking = "no URL"
        if lacking:
            return f"`to` names {lacking}: give {_SERVERS[scheme]}"
    if schema is not None and not _SCHEMA.fullmatch(schema):
        return f"{schema!r} is not a valid name of a schema: give letters, digits and _"
    if schema is not None and (refusal := _NO_SCHEMAS.get(_SCHEMES.get(scheme, ""))) is not None:
        return refusal
    wrong = [pattern for pattern in tables if not _TABLE.fullmatch(pattern)]
    if wrong:
        return f"{wrong[0]!r} is not a table of the warehouse: write schema.name, as marts.* or results.new_books"
    return None if tables else "`tables` is empty: name at least one table, or remove it"


def parse_address(url: str, where: str) -> Address:
    """Finds out what a URL leads to.

    Args:
        url: The URL, with secrets.
        where: What messages call it.

    Raises:
        DeliveryConfigError: It leads to no database that can be delivered to. The message does not quote the URL.
    """
    scheme, colon, rest = url.partition(":")
    kind = _SCHEMES.get(scheme.partition("+")[0])
    if not colon or kind is None:
        raise DeliveryConfigError(f"{where} is not an address that can be delivered to: begin it with {_ADDRESSES}")
    if kind == "bigquery":
        shown = url.partition("?")[0]
        if not _DATASET.fullmatch(shown):
            raise DeliveryConfigError(f"{where} names no dataset: give bigquery://project/dataset")
        return Address(kind, url, shown)
    if kind not in _SERVERS:
        path = url if scheme == "md" else rest.removeprefix("///").removeprefix("//")
        if path.partition("?")[0] == _MOTHERDUCK:
            raise DeliveryConfigError(f"{where} names no database: give md:database")
        if not path:
            raise DeliveryConfigError(f"{where} names no file: give {scheme}:///folder/file")
        shown = path.partition("?")[0]
        # A tilde is resolved by shells alone.
        full = path if scheme == "md" else str(Path(path).expanduser())
        return Address(kind, full, shown, _secrets_of(path.partition("?")[2]))
    try:
        found = _Parts(kind, f"//{rest.removeprefix('//')}")
    except ValueError:
        raise DeliveryConfigError(f"{where} is not a URL: give {_SERVERS[kind]}") from None
    if kind == "snowflake" and not (found.account and _SNOWFLAKE_PATH.fullmatch(found.database)):
        raise DeliveryConfigError(f"{where} names no account, database and schema: give {_SERVERS[kind]}")
    if kind == "databricks" and (lacking := _find_lacking(found)):
        raise DeliveryConfigError(f"{where} names {lacking}: give {_SERVERS[kind]}")
    if kind == "clickhouse":
        if not found.database:
            raise DeliveryConfigError(f"{where} names no database: give {_SERVERS[kind]}")
        is_secure = scheme == "clickhouses" or _asks_for_tls(found.query)
        return Address(kind, f"clickhouse{'s' * is_secure}://{found.address}", found.shown, found.secrets)
    return Address(kind, f"{kind}://{found.address}", found.shown, found.secrets)


class _Parts:
    """The parts of a server's URL, whose password may hold an @ that was not escaped."""

    def __init__(self, kind: str, text: str) -> None:
        authority, slash, path = text[2:].partition("/")
        user, at, host = authority.rpartition("@")
        name, colon, password = user.partition(":")
        password = password.replace("@", "%40")
        self.address = f"{name}{colon}{password}{at}{host}{slash}{path}"
        self.database, _, self.query = path.partition("?")
        self.secrets = (*_spell(password), *_secrets_of(self.query))
        self.has_password = bool(password)
        self.account = urlsplit(f"//{host}").netloc
        self.shown = f"{kind}://{self.account}{slash}{self.database}"


def _find_lacking(found: _Parts) -> str | None:
    """What an address of Databricks lacks."""
    options = dict(parse_qsl(found.query))
    if not (found.account and _DATABRICKS_PATH.fullmatch(found.database)):
        return "no host, catalog and schema"
    if not found.has_password:
        return "no token"
    if not options.get("http_path"):
        return "no http_path"
    return None if _VOLUME.fullmatch(options.get("volume", "")) else "no volume"


def _asks_for_tls(query: str) -> bool:
    return dict(parse_qsl(query)).get("secure", "").lower() in ("1", "true", "yes", "on")


def _secrets_of(query: str) -> tuple[str, ...]:
    given = (_password_of(option) or _token_of(option) for option in query.split("&"))
    return tuple(spelling for secret in given for spelling in _spell(secret))


def _password_of(option: str) -> str:
    name, _, value = option.partition("=")
    return value if any(word in name.lower() for word in ("password", "pwd", "passphrase")) else ""


def _holds_password(to: str) -> bool:
    head, at, _ = to.rpartition("@")
    password = head.partition("//")[2].partition(":")[2] if at else ""
    query = to.partition("?")[2]
    texts = [password, *(_password_of(option) or _token_of(option) for option in query.split("&"))]
    return any(_VARIABLE.sub("", text) for text in texts)


def _token_of(option: str) -> str:
    name, _, value = option.partition("=")
    return value if "token" in name.lower() else ""


def _spell(secret: str) -> tuple[str, ...]:
    return tuple({secret, unquote(secret)}) if len(secret) >= _SHORTEST else ()
