"""The report: what happened at Meter since a moment, in words first, then in pictures, then in tables.

In: the published warehouse, read-only. Out: one HTML page with everything it needs inside. `facts` asks the warehouse,
`page` writes what was found.
"""

from meter_pipeline.report.facts import Facts, Span, gather
from meter_pipeline.report.page import render

__all__ = ["Facts", "Span", "gather", "render"]
