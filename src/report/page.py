"""Templates beside this file -> report.md and the pages, which open from disk without a network."""

from pathlib import Path

import jinja2

TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent), undefined=jinja2.StrictUndefined,
    autoescape=lambda name: name.endswith(".html.j2"),
)  # fmt: skip
MLFLOW = "http://127.0.0.1:5000"  # where `mlflow ui` answers
BEST_FIRST = {"accuracy": "descending", "mse": "ascending"}


def markdown(**facts):
    """The report as Markdown; see report.md.j2 for the facts it needs."""
    return TEMPLATES.get_template("report.md.j2").render(**facts)


def html(template, **facts):
    """A page from study.html.j2, search.html.j2 or index.html.j2, which say what facts they need."""
    text = TEMPLATES.get_template(template).render(mlflow=MLFLOW, **facts)
    return "\n".join(line.rstrip() for line in text.split("\n") if line.strip()) + "\n"


def columns(names, first=None, sortable=True):
    """Headings of a table: [{name, sortable, first}]. first: {name: direction of the first sort}, else ascending."""
    return [{"name": name, "sortable": sortable, "first": (first or {}).get(name, "ascending")} for name in names]


def cell(text, order=None):
    """A cell: what it shows, and the number it sorts by (None: by its text)."""
    return {"text": text, "order": order}
