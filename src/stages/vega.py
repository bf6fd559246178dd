"""python -m src.stages.vega: the plotting library that the pages share, reports/vega.js, out of its Python package."""

from pathlib import Path

import vl_convert

from src import command_line
from src.errors import command

# Whose code it is; its licence asks for it.
NOTICE = """/*! Vega {vega}, Vega-Lite {lite} and vega-embed {embed}: BSD-3-Clause, Copyright University of Washington
Interactive Data Lab and others, https://vega.github.io; bundled by vl-convert {convert} */
"""


@command
def main():
    command_line.parser(__doc__, "python -m src.stages.vega").parse_args()
    text = NOTICE.format(vega=vl_convert.get_vega_version(), lite=vl_convert.get_vegalite_versions()[-1],
                         embed=vl_convert.get_vega_embed_version(), convert=vl_convert.__version__)  # fmt: skip
    Path("reports").mkdir(exist_ok=True)
    # In a block of its own: the bundle's short names would otherwise be those of every script on the page.
    Path("reports/vega.js").write_text(f"{text}{{{vl_convert.javascript_bundle('window.vegaEmbed = vegaEmbed;')}}}\n")
    print("the pages' plotting library in reports/vega.js")


if __name__ == "__main__":
    main()
