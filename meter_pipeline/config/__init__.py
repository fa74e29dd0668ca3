"""Settings and `meter.yaml`: what a user configures.

Comes in: the environment, `.env`, `meter.yaml`. Goes out: frozen `settings.Settings` and `meter_yaml.Config`, parsed
field paths, item rules and times. Touches those files read-only, and the marker of a data folder that a sandbox filled
(`origin`).
"""
