"""Renders a chart as PNG: wide, narrow for a phone, and small enough for an asset's page in Dagster."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Legible on a white page and on a dark one; the background is transparent.
INK = "#7f8691"
# Width of each form and the height in inches, and dots per inch: twice the pixels that a page gives them.
_WIDE, _NARROW, _HEIGHT, _DPI = 7.2, 3.7, 3.0, 140
# Few colours keep the images small: every materialisation stores its own.
_COLOURS = 32
# The value column of an asset's page is 270 pixels wide in a window of 1,280, and cuts off what is wider.
_SMALL_SIZE, _SMALL_DPI, _SMALL_COLOURS, _SMALL_LINES = (2.6, 0.8), 100, 5, 3
# In base64 and with its description, less than the thousand characters that Dagster shows inline.
_SMALL_BYTES = 560
_LABEL, _NARROW_LABEL = 28, 16


@dataclass(frozen=True)
class Style:
    """How a chart is drawn.

    Attributes:
        lines: Maximum number of lines; None for all.
        narrow: Whether the image is for a phone: the legend is below the chart, and names are short.
    """

    lines: int | None = None
    narrow: bool = False

    @property
    def small(self) -> bool:
        """Whether the chart has shapes only, without text."""
        return self.lines is not None

    def escape_label(self, text: str) -> str:
        """Escapes a name for matplotlib: a dollar sign would start a formula, a leading underscore hide the label."""
        return shorten(text, _NARROW_LABEL if self.narrow else _LABEL).replace("$", r"\$").lstrip("_")

    def add_legend(self, axes: Axes) -> None:
        """Adds a legend, beside the axes or below them."""
        beside = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
        # The padding, in font sizes, leaves room for the axis labels.
        below = {"loc": "upper left", "bbox_to_anchor": (-0.2, 0.0), "borderaxespad": 3.4, "ncols": 2}
        axes.legend(frameon=False, labelcolor=INK, fontsize=8, **(below if self.narrow else beside))


@dataclass(frozen=True)
class Chart:
    """A chart with a title and a description; its images are drawn when they are first used.

    Attributes:
        title: The title, the same for every publication.
        about: What the chart shows, in words.
        draw: Draws the chart on an empty figure.
        height: Height of the wide image in inches.
    """

    title: str
    about: str
    draw: Callable[[Figure, Style], None] = field(repr=False)
    height: float = _HEIGHT

    @cached_property
    def png(self) -> bytes:
        """The full-size image."""
        return _render_png(self._make_figure(_WIDE, self.height, Style()), _COLOURS)

    @cached_property
    def narrow(self) -> bytes:
        """The image for a phone."""
        return _render_png(self._make_figure(_NARROW, self.height + 0.6, Style(narrow=True)), _COLOURS)

    @cached_property
    def small(self) -> bytes:
        """The small image: shapes only, with as many lines as fit into the bytes allowed."""
        for lines in range(_SMALL_LINES, 0, -1):
            image = self._render_small(lines)
            if len(image) <= _SMALL_BYTES:
                break
        return image

    def _make_figure(self, width: float, height: float, style: Style) -> Figure:
        # Without pyplot, which keeps global state and wants a window system and the main thread.
        figure_class = _import_figure()
        from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

        figure = figure_class(figsize=(width, height), dpi=_DPI, layout="constrained", facecolor="none")
        self.draw(figure, style)
        for axes in figure.axes:
            if axes.get_label() == "<colorbar>":
                continue
            dates = AutoDateLocator(minticks=2, maxticks=6) if style.narrow else AutoDateLocator()
            axes.xaxis.set_major_locator(dates)
            axes.xaxis.set_major_formatter(ConciseDateFormatter(dates))
            axes.xaxis.get_offset_text().set(color=INK, fontsize=8)
            axes.set_facecolor("none")
            axes.tick_params(labelsize=8, colors=INK)
            axes.yaxis.label.set(color=INK, fontsize=8)
            axes.grid(alpha=0.3, color=INK, linewidth=0.5)
            axes.set_axisbelow(True)
            axes.spines[["top", "right"]].set_visible(False)
            axes.spines[["left", "bottom"]].set_color(INK)
        return figure

    def _render_small(self, lines: int) -> bytes:
        figure = _import_figure()(figsize=_SMALL_SIZE, dpi=_SMALL_DPI, facecolor="none")
        self.draw(figure, Style(lines))
        figure.subplots_adjust(0, 0.02, 1, 0.98)
        for axes in figure.axes:
            axes.set_axis_off()
            if axes.get_legend():
                axes.get_legend().remove()
            for shape in [*axes.lines, *axes.patches]:
                # Hard edges are a fraction of the bytes.
                shape.set_antialiased(False)
        return _render_png(figure, _SMALL_COLOURS)


def shorten(text: str, most: int = _LABEL) -> str:
    """Cuts the text to at most `most` characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _import_figure() -> type[Figure]:
    """Imports matplotlib without the warning that its list of fonts is being built; then restores logging.

    Charts are drawn in processes that also run a user's code, which may want that log.
    """
    logger = logging.getLogger("matplotlib.font_manager")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        from matplotlib.figure import Figure
    finally:
        logger.setLevel(level)
    return Figure


def _render_png(figure: Figure, colours: int) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    image = Image.frombuffer("RGBA", canvas.get_width_height(), canvas.buffer_rgba(), "raw", "RGBA", 0, 1)
    image = image.quantize(colours, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
