"""The results of comparisons, as a Markdown table and as a picture."""

import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import mean, median, stdev

from ..models import CONTROLS
from . import BUILDERS
from .results import Row

HEAD = (
    "model",
    "mIoU, %",
    "over its control",
    "parameters, M",
    "multiply-adds, G",
    "training, CPU s",
    "a picture, CPU ms",
    "its memory, MB",
)
LEGEND = """\
mIoU: mean ± standard deviation over seeds (their number), of one pooled confusion matrix, last weights. Over its
control: mean ± standard deviation of the differences between runs of one seed. A picture is as large as the crop,
alone, on one thread, in float32; its memory is what it takes beside the weights.
"""


@dataclass(frozen=True)
class Amount:
    """Values over seeds.

    Attributes:
        values: One a seed.
    """

    values: Sequence[float]

    @property
    def spread(self) -> float:
        """Their standard deviation, with n - 1; 0 for a single one."""
        return stdev(self.values) if len(self.values) > 1 else 0.0

    def percent(self, sign: str = "") -> str:
        """Mean, spread and number, in percent.

        >>> Amount([0.5, 0.52, 0.54]).percent()
        '52.0 ± 2.0 (3)'
        """
        if not self.values:
            return ""
        spread = f" ± {100 * self.spread:.1f}" if len(self.values) > 1 else ""
        return f"{100 * mean(self.values):{sign}.1f}{spread} ({len(self.values)})"


def groups(rows: Iterable[Row]) -> list[dict[str, list[Row]]]:
    """The rows of runs that differ in nothing but model and seed, by model; a control follows its model."""
    found: dict[tuple, dict[str, list[Row]]] = {}
    for row in rows:
        found.setdefault((row.data, row.split, row.settings), {}).setdefault(row.model, []).append(row)
    return [{name: group[name] for name in _in_pairs([*group])} for group in found.values()]


def _in_pairs(names: Sequence[str]) -> list[str]:
    stands_for = {control: model for model, control in CONTROLS.items() if model in names}
    return sorted(names, key=lambda name: (names.index(stands_for.get(name, name)), name in stands_for))


def over_control(group: dict[str, list[Row]], model: str) -> Amount:
    """How far a model's mean IoU lies above its control's, seed by seed; empty where there is nothing to compare."""
    theirs = {row.seed: row.mean_iou for row in group.get(CONTROLS.get(model, ""), ())}
    return Amount([row.mean_iou - theirs[row.seed] for row in group[model] if row.seed in theirs])


def table(rows: Iterable[Row]) -> str:
    """A table for each group of runs below a line that names it, in Markdown."""
    parts = [LEGEND]
    for group in groups(rows):
        first = next(iter(group.values()))[0]
        steps = sorted({row.steps for runs in group.values() for row in runs})
        span = f"{steps[0]}" if len(steps) == 1 else f"{steps[0]} to {steps[-1]}"
        lines = [[*HEAD], ["---"] * len(HEAD), *(_texts(group, model) for model in group)]
        parts.append(f"{first.data}, {first.split}: {span} steps, crops of {first.crop}, settings {first.settings}\n")
        parts.append("".join(f"| {' | '.join(line)} |\n" for line in lines))
    return "\n".join(parts)


def _texts(group: dict[str, list[Row]], model: str) -> list[str]:
    runs = group[model]
    return [
        model,
        Amount([row.mean_iou for row in runs]).percent(),
        over_control(group, model).percent("+"),
        f"{runs[0].parameters / 1e6:.2f}",
        f"{runs[0].multiply_adds / 1e9:.2f}",
        _middle([row.train_seconds for row in runs], ".0f"),
        _middle([1e3 * row.seconds for row in runs], ".0f"),
        _middle([row.peak_mb for row in runs], ".0f"),
    ]


def _middle(values: Iterable[float], form: str) -> str:
    known = [value for value in values if not math.isnan(value)]
    return f"{median(known):{form}}" if known else ""


def plot(rows: Iterable[Row]) -> bytes:
    """A PNG with axes for each group of runs: mean IoU and its spread over multiply-adds; controls are hollow."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FormatStrFormatter, LogLocator, NullLocator

    found = groups(rows)
    colored = [name for name in BUILDERS if name not in CONTROLS.values()]
    columns = min(3, len(found)) or 1
    lines = math.ceil(len(found) / columns) or 1
    figure = Figure(figsize=(4.5 * columns, 3.5 * lines), layout="constrained")
    for place, group in enumerate(found, 1):
        axes = figure.add_subplot(lines, columns, place)
        for model, runs in group.items():
            iou, cost = Amount([100 * row.mean_iou for row in runs]), runs[0].multiply_adds / 1e9
            of = next((name for name, control in CONTROLS.items() if control == model), model)
            color = f"C{colored.index(of) % 10}" if of in colored else "black"
            fill, aside = (color, {"xytext": (5, 3)}) if of == model else ("white", {"xytext": (-5, 3), "ha": "right"})
            axes.errorbar(cost, mean(iou.values), iou.spread, fmt="o", color=color, markerfacecolor=fill, capsize=3)
            axes.annotate(model, (cost, mean(iou.values)), **aside, textcoords="offset points", fontsize=7)
        costs = [row.multiply_adds / 1e9 for runs in group.values() for row in runs]
        axes.set(title=f"{runs[0].data}, {runs[0].split}, {runs[0].crop}", xlabel="multiply-adds, G", ylabel="mIoU, %")
        axes.set(xscale="log", xlim=(min(costs) / 5, 5 * max(costs)))  # room for the names
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.ticklabel_format(axis="y", useOffset=False)
        axes.margins(y=0.2)
    image = io.BytesIO()
    FigureCanvasAgg(figure).print_png(image)
    return image.getvalue()
