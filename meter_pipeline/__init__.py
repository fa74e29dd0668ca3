"""Loads everything Meter (meter.sh) scrapes into Parquet and DuckDB, watched by Dagster."""

__version__ = "0.1.0"
