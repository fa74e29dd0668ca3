"""`python -m meter_pipeline` is the `meter-pipeline` command."""

from meter_pipeline.cli import main

main()
