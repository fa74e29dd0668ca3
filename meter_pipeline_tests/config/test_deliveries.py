"""Targets of `deliver` are valid or refused in one line, and a secret is in no text that is made of them."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meter_pipeline.config.deliveries import DEFAULT_TABLES, DeliveryConfigError, DeliveryTarget, parse_address
from meter_pipeline.config.meter_yaml import ConfigError, load_config


def _load(folder: Path, text: str) -> dict[str, DeliveryTarget]:
    path = folder / "meter.yaml"
    path.write_text(text)
    return dict(load_config(path).deliver)


def test_every_option_of_a_target_is_read(tmp_path: Path) -> None:
    targets = _load(
        tmp_path,
        "deliver:\n"
        "  analytics: {to: 'postgresql://meter:${PASSWORD}@db.example/all', schema: scraped, "
        "tables: [marts.*, results.x]}\n"
        "  copy: {to: 'sqlite:///copy.sqlite'}\n",
    )
    assert targets == {
        "analytics": DeliveryTarget(
            "analytics", "postgresql://meter:${PASSWORD}@db.example/all", "scraped", ("marts.*", "results.x")
        ),
        "copy": DeliveryTarget("copy", "sqlite:///copy.sqlite"),
    }
    assert targets["copy"].tables == DEFAULT_TABLES
    assert targets["copy"].line == 3


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("analytics: {}", "analytics needs `to`"),
        ("Analytics: {to: 'env:URL'}", "'Analytics' is not a valid name of a target"),
        (
            "a: {to: 'oracle://db'}",
            "`to` must begin with postgresql:, clickhouse:, bigquery:, snowflake:, databricks:, sqlite:",
        ),
        ("a: {to: 'env:'}", "env: must be followed by the name of an environment variable"),
        ("a: {to: 'postgresql://me:canary@db/x'}", r"`to` holds a password: write \$\{NAME\} in its place"),
        ("a: {to: 'postgresql://me:canary${X}@db/x'}", "`to` holds a password"),
        ("a: {to: 'postgresql://db/x?password=canary'}", "`to` holds a password"),
        ("a: {to: 'md:x?motherduck_token=canary'}", "`to` holds a password"),
        ("a: {to: 'clickhouse://me:canary@db/x'}", "`to` holds a password"),
        ("a: {to: 'sqlite:///x', schema: meter}", "a SQLite file has no schemas"),
        ("a: {to: 'clickhouse://db/x', schema: meter}", "ClickHouse has databases in the place of schemas"),
        ("a: {to: 'bigquery://p/d', schema: meter}", "`to` names the dataset of BigQuery already: remove `schema`"),
        ("a: {to: 'snowflake://me@acc/d/s', schema: meter}", "`to` names the schema of Snowflake already: remove"),
        ("a: {to: 'snowflake://me@acc/d/s?private_key_file_pwd=canary'}", "`to` holds a password"),
        (
            "a: {to: 'databricks://token:${T}@h/c/s?http_path=/p&volume=v', schema: x}",
            "`to` names the schema of Databr",
        ),
        ("a: {to: 'databricks://token:canary@h/c/s?http_path=/p&volume=v'}", "`to` holds a password"),
        (
            "a: {to: 'databricks://token:${T}@h/c?http_path=/p&volume=v'}",
            "`to` names no host, catalog and schema: give",
        ),
        ("a: {to: 'databricks://h/c/s?http_path=/p&volume=v'}", "`to` names no token: give databricks://token:"),
        ("a: {to: 'databricks://token:${T}@h/c/s?volume=v'}", "`to` names no http_path: give databricks://token:"),
        ("a: {to: 'databricks://token:${T}@h/c/s?http_path=/p'}", "`to` names no volume: give databricks://token:"),
        ("a: {to: 'databricks://token:${T}@[h/c/s?http_path=/p'}", "`to` names no URL: give databricks://token:"),
        ("a: {to: 'env:URL', schema: 'a b'}", "'a b' is not a valid name of a schema"),
        ("a: {to: 'env:URL', tables: [books]}", "'books' is not a table of the warehouse: write schema.name"),
        ("a: {to: 'env:URL', tables: []}", "`tables` is empty"),
        ("a: {to: 'env:URL', tabels: []}", "'tabels' is not known here: did you mean tables"),
    ],
)
def test_a_target_that_cannot_be_used_is_refused_with_its_line(tmp_path: Path, entry: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=rf"meter\.yaml:2: {reason}") as failure:
        _load(tmp_path, f"deliver:\n  {entry}\n")
    assert "canary" not in str(failure.value)


@given(password=st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=4))
def test_a_password_of_any_characters_reaches_the_driver_alone(password: str) -> None:
    psycopg = pytest.importorskip("psycopg")
    target = DeliveryTarget("a", "postgresql://someone:${SECRET}@db.example:5433/all?sslmode=require")
    address = target.resolve({"SECRET": password}.get)
    given_to_driver = psycopg.conninfo.conninfo_to_dict(address.url)
    assert given_to_driver["password"] == password
    assert (given_to_driver["host"], given_to_driver["dbname"]) == ("db.example", "all")
    assert address.shown == "postgresql://db.example:5433/all"
    assert address.scrub(f"refused: {password}!") == "refused: ***!"
    assert address.url not in repr(address)


def test_a_whole_url_may_be_in_a_variable() -> None:
    for to in ("env:URL", "${URL}"):
        address = DeliveryTarget("a", to).resolve({"URL": "postgresql://me:canary@1@db/x"}.get)
        assert (address.shown, address.url) == ("postgresql://db/x", "postgresql://me:canary%401@db/x")
        assert "canary" not in address.scrub("canary@1 and canary%401")


def test_a_variable_that_is_not_set_or_holds_nothing_usable_is_named_and_not_quoted() -> None:
    with pytest.raises(DeliveryConfigError, match=r"deliver\.a\.to: URL is not set"):
        DeliveryTarget("a", "env:URL").resolve({}.get)
    for url in ("canary", "canary://x", "sqlite://", "duckdb:", "postgresql://me:canary@[db/x", "bigquery://canary"):
        with pytest.raises(DeliveryConfigError, match=r"deliver\.a\.to") as failure:
            DeliveryTarget("a", "env:URL").resolve({"URL": url}.get)
        assert "canary" not in str(failure.value)


@pytest.mark.parametrize(
    ("url", "kind", "path"),
    [
        ("sqlite:///out.sqlite", "sqlite", "out.sqlite"),
        ("sqlite:////var/out.sqlite", "sqlite", "/var/out.sqlite"),
        ("duckdb:out.duckdb", "duckdb", "out.duckdb"),
        ("md:my_db", "duckdb", "md:my_db"),
        ("postgres://db/x", "postgresql", "postgresql://db/x"),
        ("bigquery://my-project/my_data?location=EU", "bigquery", "bigquery://my-project/my_data?location=EU"),
    ],
)
def test_addresses_lead_where_they_say(url: str, kind: str, path: str) -> None:
    address = parse_address(url, "to")
    assert (address.kind, address.url) == (kind, path)


def test_a_clickhouse_address_names_a_database_and_may_ask_for_tls() -> None:
    def url_of(url: str) -> str:
        return parse_address(url, "to").url

    assert url_of("clickhouse://me@db:8123/all?secure=true") == "clickhouses://me@db:8123/all?secure=true"
    assert url_of("clickhouses://me@db/all") == "clickhouses://me@db/all"
    assert url_of("clickhouse://me@db/all?secure=no") == "clickhouse://me@db/all?secure=no"
    assert parse_address("clickhouses://me:canary@db/all?ca_cert=x", "to").shown == "clickhouse://db/all"
    with pytest.raises(DeliveryConfigError, match=r"to names no database: give clickhouse://user@host:8123/database"):
        parse_address("clickhouse://me:canary@db", "to")


def test_a_snowflake_address_names_account_database_and_schema() -> None:
    target = DeliveryTarget("a", "snowflake://me:${PASSWORD}@org-acc/all/meter?role=loader&token=${TOKEN}")
    address = target.resolve({"PASSWORD": "canary@1", "TOKEN": "a+b&canary=2"}.get)
    assert (address.kind, address.shown) == ("snowflake", "snowflake://org-acc/all/meter")
    assert dict(parse_qsl(urlsplit(address.url).query)) == {"role": "loader", "token": "a+b&canary=2"}
    assert address.scrub("canary@1, canary%401, a+b&canary=2") == "***, ***, ***"
    for url in ("snowflake://me@acc", "snowflake://me@acc/all", "snowflake://me@acc/all/a.b", "snowflake:///all/meter"):
        with pytest.raises(DeliveryConfigError, match=r"to names no account, database and schema: give snowflake://"):
            parse_address(url, "to")


def test_a_databricks_address_names_token_schema_warehouse_and_volume() -> None:
    target = DeliveryTarget("a", "databricks://token:${T}@dbc.example/all/meter?http_path=/sql/1.0/w&volume=c.s.${V}")
    address = target.resolve({"T": "canary/@1", "V": "up"}.get)
    assert (address.kind, address.shown) == ("databricks", "databricks://dbc.example/all/meter")
    assert dict(parse_qsl(urlsplit(address.url).query)) == {"http_path": "/sql/1.0/w", "volume": "c.s.up"}
    assert address.scrub("canary/@1, canary%2F%401") == "***, ***"
    for url in ("databricks://token:t@h/c", "databricks://token@h/c/s", "databricks://token:t@h/c/s?volume=v"):
        with pytest.raises(
            DeliveryConfigError, match=r"to names no (host|token|http_path).*: give databricks://token:"
        ):
            parse_address(url, "to")


@pytest.mark.parametrize("variable", ["motherduck_token", "MOTHERDUCK_TOKEN"])
def test_motherduck_gets_its_token_from_the_environment_and_never_waits_for_a_browser(variable: str) -> None:
    target = DeliveryTarget("a", "md:analytics")
    address = target.resolve({variable: "canary1"}.get)
    assert (address.url, address.shown) == ("md:analytics?motherduck_token=canary1", "md:analytics")
    assert address.scrub("refused: canary1") == "refused: ***"
    given = DeliveryTarget("a", "md:analytics?motherduck_token=${MINE}").resolve({"MINE": "canary2"}.get)
    assert (given.url, given.scrub("canary2")) == ("md:analytics?motherduck_token=canary2", "***")
    with pytest.raises(
        DeliveryConfigError, match=r"deliver\.a\.to: motherduck_token is not set: put MotherDuck's token"
    ):
        target.resolve({}.get)
    with pytest.raises(DeliveryConfigError, match=r"names no database: give md:database"):
        DeliveryTarget("a", "md:").resolve({variable: "canary"}.get)
