"""What the commands do; `meter_pipeline.cli` says what they are called and take."""
