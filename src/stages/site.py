"""python -m src.stages.site: the overview of all studies and searches, reports/index.html, from their summaries."""

from pathlib import Path

from src import command_line, params
from src.errors import command
from src.report import overview


@command
def main():
    command_line.parser(__doc__, "python -m src.stages.site").parse_args()
    settings = params.load()
    studies, searches = overview.load(settings.studies), overview.load(settings.searches)
    Path("reports/index.html").write_text(overview.html(studies, searches))
    made = sum("metric" in facts for facts in (*studies.values(), *searches.values()))
    print(f"{made} of {len(studies) + len(searches)} reports in reports/index.html")


if __name__ == "__main__":
    main()
