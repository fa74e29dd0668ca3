"""The error of the sandbox, in one line that its user can act on."""

from meter_pipeline.errors import MeterPipelineError


class SandboxError(MeterPipelineError):
    """A mistake in how the sandbox is used: an unknown switch, a bad file, an unknown world."""
