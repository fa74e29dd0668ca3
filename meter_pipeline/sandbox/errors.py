"""What goes wrong in the sandbox, in one line that its user can act on."""


class SandboxError(Exception):
    """A mistake in how the sandbox is used: an unknown switch, a bad file, an unknown world."""
