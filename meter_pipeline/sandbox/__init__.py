"""An emulator of the Meter API: a world of shops, job boards and newsrooms behind real HTTP, on a clock of its own.

>>> from meter_pipeline.sandbox import Sandbox
>>> with Sandbox() as sandbox:
...     sandbox.advance(days=2)
...     print(sandbox.url, sandbox.api_key)
"""

from meter_pipeline.sandbox.errors import SandboxError
from meter_pipeline.sandbox.faults import Faults, parse_faults
from meter_pipeline.sandbox.server import Sandbox, Service, create_app, serve
from meter_pipeline.sandbox.world import World
from meter_pipeline.sandbox.worlds import WORLDS

__all__ = ["WORLDS", "Faults", "Sandbox", "SandboxError", "Service", "World", "create_app", "parse_faults", "serve"]
