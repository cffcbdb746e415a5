"""Names beside the points of a plot, out of the way of each other and of what is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

Point = tuple[float, float]

# Where a name may be written, in typographic points from its dot: near before far, and first above
# and left, where there is space if points further left and higher are better.
OFFSETS = [
    (x * far, y * far)
    for far in (1, 2.2, 3.4)
    for x, y in ((-5, 5), (7, 0), (5, -6), (5, 6), (0, 8), (0, -8), (-5, -6), (-7, 0))
]
DOT, STROKE = 5.0, 2.0  # pixels that a name keeps away from points and from lines


def label_points(
    axes: Axes,
    points: Sequence[Point],
    names: Sequence[str],
    lines: Sequence[Sequence[Point]] = (),
    size: float = 8,
) -> None:
    """Write each name where it covers least of other names, points and `lines`. Set
    the axes' limits and scales before."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()  # only now it is known how large things are
    taken = [_around(pixel, DOT) for pixel in axes.transData.transform(list(points))]
    taken += [_around(pixel, STROKE) for line in lines for pixel in _along(axes, line)]
    for index, (point, name) in enumerate(zip(points, names, strict=True)):
        others = taken[:index] + taken[index + 1 :]
        tried = [_written(axes, point, name, offset, size) for offset in OFFSETS]
        boxes = [text.get_window_extent() for text in tried]
        costs = [_covered(box, others) + _outside(box, axes.bbox) for box in boxes]
        chosen = min(range(len(tried)), key=costs.__getitem__)
        for text in (*tried[:chosen], *tried[chosen + 1 :]):
            text.remove()
        taken.append(boxes[chosen])


def _written(axes: Axes, point: Point, name: str, offset: Point, size: float) -> Annotation:
    x, y = offset
    far = max(abs(x), abs(y)) > 10
    return axes.annotate(
        name, point, offset, textcoords="offset points", fontsize=size,
        ha="left" if x > 0 else "right" if x < 0 else "center",
        va="bottom" if y > 0 else "top" if y < 0 else "center",
        arrowprops={"arrowstyle": "-", "color": "#999999", "lw": 0.6} if far else None,
    )  # fmt: skip


def _around(pixel: Sequence[float], reach: float) -> Bbox:
    x, y = pixel
    return Bbox.from_bounds(x - reach, y - reach, 2 * reach, 2 * reach)


def _along(axes: Axes, line: Sequence[Point]) -> list[Sequence[float]]:
    """Pixels of a polyline, a stroke's width apart."""
    corners = axes.transData.transform(list(line))
    return [
        pixel
        for start, end in pairwise(corners)
        for pixel in np.linspace(start, end, 1 + int(np.abs(end - start).max() / (2 * STROKE)))
    ]


def _covered(box: Bbox, others: Sequence[Bbox]) -> float:
    """Square pixels that a box shares with others."""
    shared = filter(None, (Bbox.intersection(box, other) for other in others))
    return float(sum(part.width * part.height for part in shared))


def _outside(box: Bbox, frame: Bbox) -> float:
    """Square pixels of a box beyond the axes."""
    inside = Bbox.intersection(box, frame)
    return float(box.width * box.height - (inside.width * inside.height if inside else 0))
