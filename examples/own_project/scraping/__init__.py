"""A Dagster project with assets of its own beside those of meter_pipeline."""
