"""A Dagster project with its own assets beside those of meter_pipeline."""
