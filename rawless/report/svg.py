"""Parts of the drawings in SVG, for charts without plotly."""

from html import escape

BLUE, VERMILION, GREY = "#0072B2", "#D55E00", "#8A8F98"
"""As in `rawless.report.chart`, which needs plotly."""


class Scale:
    """From values between `low` and `high`, with a margin, to positions between `start` and `end`."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        margin = max((high - low) * 0.05, 0.01)
        self._low, self._high, self._start, self._end = low - margin, high + margin, start, end

    def __call__(self, value: float) -> float:
        """Return the position of a value."""
        share = (value - self._low) / (self._high - self._low)
        return round(self._start + share * (self._end - self._start), 1)

    def ticks(self) -> list[float]:
        """Return five values between both ends."""
        return [self._low + (self._high - self._low) * part / 4 for part in range(5)]


def opening(title: str, width: int, height: int) -> str:
    """Return the start of a drawing with a white background."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="12" role="img"><title>{escape(title)}</title>\n'
        f'<rect width="{width}" height="{height}" fill="#fff"/>'
    )


def text(x: float, y: float, text: str, size: int = 12) -> str:
    """Return a text whose baseline starts at (x, y)."""
    return f'<text x="{x}" y="{y}" font-size="{size}" fill="#334155">{escape(text)}</text>'
