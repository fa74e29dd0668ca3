"""The report: what Meter scraped in a span of time, as sentences, charts and tables.

In: the published warehouse, read-only. Out: one self-contained HTML page. `facts` queries the warehouse, `charts`
draws, `page` renders.
"""

from meter_pipeline.report.facts import Facts, Span, gather
from meter_pipeline.report.page import render

__all__ = ["Facts", "Span", "gather", "render"]
