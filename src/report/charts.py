"""The charts that a reader changes on a page, as Vega-Lite specifications; reports/vega.js draws them in the browser.

Why Vega: pages are in git, where no file may exceed 1 MB, and open without a network. The minified JavaScript in the
Python packages measures: Plotly 7.1 4,816 kB, Bokeh 3.9 1,268 kB (and 945 kB more for its tables), Vega with Vega-Lite
and vega-embed 898 kB (vl-convert-python 1.9). It lies once beside the pages, written by the stage `vega`. A chart is
drawn as SVG: sharp on every screen, named for screen readers, and in the colours of the page, light or dark.
"""

from textwrap import shorten

import altair

from src.report.tables import thinned

# Each at least 3:1 on the pages' white and on their dark ground (WCAG 2.2, 1.4.11); with the dashes 32 curves differ.
COLOURS = ["#1f77c9", "#d55e00", "#00916b", "#c2569a", "#8a7000", "#7d6bd6", "#d8455b", "#6f7f8c"]
DASHES = [[1, 0], [8, 3], [2, 3], [8, 3, 2, 3]]
POINTS = 100  # of a curve
INK = "currentColor"  # the colour of the page's text


def curves(found):
    """{experiment: its look, the loss it was trained with, its curves}, the first finished repeat of each.

    curves: {quantity: list of numbers}, as long as `epochs`; val_ quantities are those of the validation rows.
    """
    first = {row["experiment"]: row for row in reversed(found.finished)}
    names = [entry["experiment"] for entry in found.summary if entry["experiment"] in first]
    return {name: curves_of(found.histories[name, first[name]["repeat"]]) | look(index) | {"loss": first[name]["loss"]}
            for index, name in enumerate(names)}  # fmt: skip


def curves_of(history):
    history = thinned(history, POINTS)
    quantities = [name for name in history.columns if name not in ("epoch", "ended")]
    return {
        "epochs": history["epoch"].tolist(),
        "curves": {name: [float(f"{value:.4g}") for value in history[name]] for name in quantities},
    }


def look(index):
    """Colour and dashes of the curve with this number."""
    return {"colour": COLOURS[index % len(COLOURS)], "dash": DASHES[index // len(COLOURS) % len(DASHES)]}


def learning_curves():
    """Overlaid curves without their data, which the page fills in as its reader chooses.

    `lines`: [{curve, part, epoch, value, colour, dash}], part training or validation; `epochs`: [{epoch, and each
    curve's value}], for the numbers under the pointer.
    """
    near = altair.selection_point(
        name="near", nearest=True, on="pointermove", clear="pointerout", fields=["epoch"], empty=False
    )
    epoch = altair.X("epoch:Q").title("epoch").axis(format="d", tickMinStep=1)
    lines = (
        altair.Chart(altair.NamedData("lines"))
        .mark_line(interpolate="linear")
        .encode(
            x=epoch,
            y="value:Q",
            description="curve:N",
            detail=["curve:N", "part:N"],
            color=altair.Color("colour:N").scale(None),
            strokeDash=altair.StrokeDash("dash:N").scale(None),
            strokeWidth=altair.StrokeWidth("width:Q").scale(None),
        )
    )
    rule = (
        altair.Chart(altair.NamedData("epochs"))
        .mark_rule(color=INK, tooltip={"content": "data"})
        .encode(x=epoch, opacity=altair.condition(near, altair.value(0.6), altair.value(0)))
        .add_params(near)
    )
    return finished(lines + rule, 320, "Learning curves of the chosen experiments")


def effects(measured, metric):
    """What single changes did to the validation metric: a point with twice its standard error; None without any.

    measured: [effect].
    """
    if not measured:
        return None
    unit = "percentage points" if metric == "accuracy" else metric.upper()
    chart = altair.Chart(altair.Data(values=measured))
    label = altair.Y("change:N").sort(None).title(None).axis(labelLimit=330, domain=False, ticks=False)
    title = f"gain in validation {metric}, {unit} (right: better)"
    shade = altair.condition("datum.clear", altair.value(1), altair.value(0.45))
    tooltip = [altair.Tooltip(key) for key in ("whole:N", "gain:Q", "uncertainty:N")]
    zero = altair.Chart(altair.Data(values=[{"gain": 0}])).mark_rule(color=INK, strokeDash=[3, 3])
    zero = zero.encode(x=altair.X("gain:Q").title(title))
    bars = chart.mark_rule(strokeWidth=2, color=COLOURS[0]).encode(
        y=label, x=altair.X("low:Q").title(title), x2="high:Q", opacity=shade
    )
    points = chart.mark_point(filled=True, size=70, color=COLOURS[0]).encode(
        y=label, x=altair.X("gain:Q").title(title), opacity=shade, tooltip=tooltip
    )
    return finished(zero + bars + points, 24 * len(measured), f"Effects of single settings on the validation {metric}")


def effect(entry, metric):
    """One change, see answers.single_changes, in the chart's unit: percentage points of accuracy, or the error itself."""
    scale = 100 if metric == "accuracy" else 1
    whole = f"{entry['setting']}: {entry['from']} → {entry['to']}"
    gain, error = scale * entry["gain"], entry["uncertainty"]
    reach = 2 * scale * error if error is not None else 0
    return {
        "change": shorten(whole, 60, placeholder=" …"),
        "whole": f"{whole} ({entry['experiments'][0]} → {entry['experiments'][1]})",
        "gain": float(f"{gain:.4g}"),
        "low": float(f"{gain - reach:.4g}"),
        "high": float(f"{gain + reach:.4g}"),
        "uncertainty": "one seed: not known" if error is None else f"± {scale * error:.2g}",
        "clear": error is not None and abs(gain) > reach,
    }


def trials(rows, key, logarithmic, metric):
    """One key of a search against its objective, a point a trial. rows: [{key, metric, trial}], keys as in the space."""
    numeric = all(isinstance(row[key], int | float) and not isinstance(row[key], bool) for row in rows)
    field = key.replace(".", "\\.")
    x = altair.X(f"{field}:{'Q' if numeric else 'N'}").title(key)
    if numeric:
        x = x.scale(type="log") if logarithmic else x.scale(zero=False)
    chart = (
        altair.Chart(altair.Data(values=[{"trial": row["trial"], key: row[key], metric: row[metric]} for row in rows]))
        .mark_point(size=60, color=COLOURS[0], tooltip={"content": "data"})
        .encode(x=x, y=altair.Y(f"{metric}:Q").scale(zero=False))
    )
    return finished(chart, 300, f"{metric} of the trials against {key}")


def finished(chart, height, description):
    """The specification: as wide as its place on the page, in the page's colours and letters, with a spoken name."""
    axis = {"labelColor": INK, "titleColor": INK, "domainColor": INK, "tickColor": INK, "gridColor": INK,
            "gridOpacity": 0.12, "labelFontSize": 12, "titleFontSize": 12}  # fmt: skip
    return (
        chart.properties(width="container", height=height, description=description)
        .configure(background="transparent", font="system-ui, sans-serif")
        .configure_axis(**axis)
        .configure_view(stroke=None)
        .to_dict()
    )
