"""What a plain install brings is enough to colour; where more is needed, the extra is named.

Here all other packages are hidden. `.ci/package` colours with an install of its own.
"""

import subprocess
import sys
from pathlib import Path

PICTURE = Path(__file__).parents[2] / "examples" / "rocket.jpg"

PROGRAM = r"""
import re, sys, types
from importlib import metadata

def required(name, found):
    for text in metadata.requires(name) or ():
        requirement, _, condition = text.partition(";")
        other = re.match(r"[\w.-]+", requirement)[0].lower().replace("_", "-")
        if "extra" not in condition and other not in found:
            try:
                found |= {other}
                required(other, found)
            except metadata.PackageNotFoundError:
                pass
    return found

allowed = required("keras-hypercolumns", {"keras-hypercolumns"})
hidden = {
    module
    for module, names in metadata.packages_distributions().items()
    if not allowed & {name.lower().replace("_", "-") for name in names}
}
assert {"keras", "scipy", "h5py", "skimage", "tensorflow"} <= hidden, hidden
assert not {"numpy", "onnxruntime", "kh_zoo", "rich"} & hidden

class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hide())

from kh_cli.app import create_app, report

def kh(*words):
    try:
        create_app()(words, standalone_mode=False)
    except BaseException as error:
        return report(error)

picture, folder = sys.argv[1:]
from kh_zoo import Colorizer
Colorizer("lite").colorize_file(picture, f"{folder}/coloured.jpg")
import PIL.Image
assert PIL.Image.open(f"{folder}/coloured.jpg").convert("HSV").split()[1].getextrema()[1] > 60

print("begin", file=sys.stderr)
for words in (
    ("list",), ("show", "lite"), ("verify",), ("plugins",),
    ("export", "lite", f"{folder}/onnx", "--to", "onnx"), ("export", "lite", f"{folder}/kh"),
    ("compare", "lite", "--data", picture, "--output", f"{folder}/page.html"),
):
    assert not kh(*words), words
for words in (
    ("evaluate", "lite", "--data", folder), ("publish", "lite", "ada/lite", "--dry-run"),
    ("train", "best", "--data", folder), ("study", "full", "--data", folder), ("features", picture),
):
    print(words[0], kh(*words), file=sys.stderr)
for use in ("import keras_hypercolumns", "from kh_zoo import load_model",
            "import kh_zoo.networks.keras_folder"):
    try:
        exec(use)
    except ImportError as error:
        print(use, error, file=sys.stderr)
"""


def test_a_plain_install_colours_and_says_which_extra_does_more(tmp_path):
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, PICTURE, tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    said = result.stderr.partition("begin\n")[2]
    asked = [line for line in said.splitlines() if "pip install" in line]
    extras = [line.partition("keras-hypercolumns[")[2].partition("]")[0] for line in asked]
    assert extras == ["evaluate"] + ["tensorflow"] * 7, said
    names = ("evaluate", "publish", "train", "study", "features")
    assert [f"{name} 2" in said for name in names] == [True] * 5
