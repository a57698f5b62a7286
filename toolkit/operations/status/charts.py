"""Charts as inline SVG: no script, no style attribute, readable as text."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from toolkit.page.markup import Html, tag

WIDTH, HEIGHT = 720, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 12, 14, 26
_TICKS = 4


@dataclass(frozen=True)
class Point:
    """One value of a chart; the label says when, and is shown for the first and the last one."""

    label: str
    value: float
    bad: bool = False


Draw = Callable[[Sequence[Point], str, str], Html]


def bars(points: Sequence[Point], unit: str, name: str) -> Html:
    """One bar a point, from zero."""
    top = _ceiling(points)
    step = (WIDTH - _LEFT - _RIGHT) / max(len(points), 1)
    drawn = []
    for number, point in enumerate(points):
        height = max(_scaled(point.value, top), 1.0 if point.value else 0.0)
        place = {
            "x": f"{_LEFT + number * step + step * 0.1:.2f}",
            "y": f"{HEIGHT - _BOTTOM - height:.2f}",
            "width": f"{step * 0.8:.2f}",
            "height": f"{height:.2f}",
        }
        class_ = "bar bad" if point.bad else "bar"
        drawn.append(tag("rect", _tip(point, unit), class_=class_, **place))
    return _frame(points, top, unit, name, drawn)


def line(points: Sequence[Point], unit: str, name: str) -> Html:
    """A line through the points, from zero, with a dot each."""
    top = _ceiling(points)
    step = (WIDTH - _LEFT - _RIGHT) / max(len(points) - 1, 1)
    places = [
        (f"{_LEFT + number * step:.2f}", f"{HEIGHT - _BOTTOM - _scaled(point.value, top):.2f}")
        for number, point in enumerate(points)
    ]
    drawn = [tag("polyline", points=" ".join(f"{x},{y}" for x, y in places), class_="line")]
    drawn += [
        tag("circle", _tip(point, unit), cx=x, cy=y, r="2.5", class_="dot")
        for (x, y), point in zip(places, points, strict=True)
    ]
    return _frame(points, top, unit, name, drawn)


def _frame(
    points: Sequence[Point], top: float, unit: str, name: str, drawn: Sequence[Html]
) -> Html:
    marks = []
    for number in range(_TICKS + 1):
        value = top * number / _TICKS
        y = HEIGHT - _BOTTOM - _scaled(value, top)
        ends = {"x1": str(_LEFT), "x2": str(WIDTH - _RIGHT), "y1": f"{y:.2f}", "y2": f"{y:.2f}"}
        marks.append(tag("line", class_="grid", **ends))
        place = {"x": str(_LEFT - 8), "y": f"{y + 4:.2f}"}
        marks.append(tag("text", _number(value), class_="end", **place))
    below = str(HEIGHT - 8)
    marks.append(tag("text", points[0].label, x=str(_LEFT), y=below))
    if len(points) > 1:
        marks.append(tag("text", points[-1].label, x=str(WIDTH - _RIGHT), y=below, class_="end"))
    highest = max(point.value for point in points)
    told = (
        f"{name}: {len(points)} values from {points[0].label} to {points[-1].label}, the highest "
        f"{_number(highest)} {unit}, the last {_number(points[-1].value)} {unit}"
    )
    return tag(
        "svg",
        *marks,
        *drawn,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        class_="chart",
        role="img",
        aria_label=told,
    )


def _tip(point: Point, unit: str) -> Html:
    return tag("title", f"{point.label}: {_number(point.value)} {unit}")


def _ceiling(points: Sequence[Point]) -> float:
    """A round number that no point exceeds, whose quarters are round too."""
    highest = max((point.value for point in points), default=0.0)
    if highest <= 0:
        return 4.0
    power = float(10 ** math.floor(math.log10(highest)))
    return next(power * factor for factor in (1, 2, 4, 8, 10, 20) if power * factor >= highest)


def _scaled(value: float, top: float) -> float:
    return (HEIGHT - _TOP - _BOTTOM) * max(value, 0.0) / top


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.3g}"
