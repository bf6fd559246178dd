"""Results in words -> report.md and index.html."""

from pathlib import Path

import jinja2
from markdown_it import MarkdownIt

TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent), undefined=jinja2.StrictUndefined, autoescape=False
)
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; }}
table {{ border-collapse: collapse; display: block; overflow-x: auto; font-size: .9rem; }}
th, td {{ border-bottom: 1px solid #8886; padding: .3rem .7rem; text-align: left; white-space: nowrap; }}
img {{ max-width: 100%; height: auto; background: white; }}
</style>
</head>
<body>
{body}
</body>
</html>
"""


def markdown(**facts):
    """The report as Markdown; see report.md.j2 for the facts it needs."""
    return TEMPLATES.get_template("report.md.j2").render(**facts)


def html(title, text):
    """Markdown as one page that opens from disk."""
    return PAGE.format(title=jinja2.utils.markupsafe.escape(title), body=MarkdownIt().enable("table").render(text))
