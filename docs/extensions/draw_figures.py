"""The figures, drawn by the scripts in `figures/`: `generated/NAME.svg` by the `draw` of each."""

import runpy
from pathlib import Path

import matplotlib


def setup(app):
    app.connect("builder-inited", draw_figures)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def draw_figures(app):
    folder = Path(app.srcdir)
    (folder / "generated").mkdir(exist_ok=True)
    # Text stays text; without a date and with a salt the same figure is the same file.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "keras_hypercolumns"}):
        for script in sorted((folder / "figures").glob("*.py")):
            figure = runpy.run_path(str(script))["draw"]()
            target = folder / "generated" / f"{script.stem}.svg"
            figure.savefig(target, metadata={"Date": None})
