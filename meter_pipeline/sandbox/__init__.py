"""An emulator of the Meter API: a world of shops, job boards and newsrooms over real HTTP, on a virtual clock.

Comes in: requests, or calls of a `Sandbox`. Goes out: answers as Meter's API gives them, and webhooks. Touches a port
of this machine, and the folder of recordings that it replays. Only commands, tests and benchmarks import it.

>>> from meter_pipeline.sandbox import Sandbox
>>> with Sandbox() as sandbox:
...     sandbox.advance(days=2)
...     print(sandbox.url, sandbox.api_key)
"""

from meter_pipeline.sandbox.altered import AlteredJob
from meter_pipeline.sandbox.errors import SandboxError
from meter_pipeline.sandbox.faults import Faults, parse_faults
from meter_pipeline.sandbox.kinds import KINDS
from meter_pipeline.sandbox.server import Sandbox, create_app, serve
from meter_pipeline.sandbox.service import Service
from meter_pipeline.sandbox.world import World
from meter_pipeline.sandbox.worlds import DEMO_WORLDS, WORLDS

__all__ = [
    "DEMO_WORLDS",
    "KINDS",
    "WORLDS",
    "AlteredJob",
    "Faults",
    "Sandbox",
    "SandboxError",
    "Service",
    "World",
    "create_app",
    "parse_faults",
    "serve",
]
