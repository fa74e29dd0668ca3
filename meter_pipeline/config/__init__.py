"""Settings and `meter.yaml`: what a user configures.

Comes in: the environment, `.env`, `meter.yaml`. Goes out: frozen `settings.Settings` and `meter_yaml.Config`, parsed
field paths and times. Touches those files read-only, and the marker that says whose data a data folder holds
(`origin`).
"""
