"""A Dagster project with two Meter accounts and an asset that compares them."""
