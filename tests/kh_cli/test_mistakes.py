"""Forty mistakes of a person, and the line that each is told: what was wrong, and what would be
right; nothing is written, nothing is half done."""

import shlex
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from kh_zoo.batches.journal import NAME

NAMES = "'lite', 'full', 'relu1to5', 'relu3to5', 'pool1to4'"
NO_MODEL = (
    f"`MODEL` should be one of {NAMES}, the path of a model or run folder, or owner/repo on the "
    "Hub."
)
NO_PATH = "`PATH` should be a picture or a folder of pictures, which is there."
HOME = (
    "`~` should stand behind a space and without quotes, as in -o ~/out: only then the shell puts "
    "your home folder there."
)
KINDS = "jpg, jpeg, png, webp, tif, tiff, avif"
OUTPUTS = ".jpg, .jpeg, .png, .webp, .tif, .tiff, .avif"
KNOWN = (
    "not a picture, or of an unknown format (JPEG, PNG, WebP, TIFF, GIF, AVIF, HEIC, BMP, JPEG "
    "2000, PNM, TGA, PCX, SGI and PSD are known), or cut short"
)
MISTAKES = {
    # Of the commands.
    "colorise photo.png": "No such command 'colorise'. Did you mean 'colorize'?",
    "help": "No such command 'help'.",
    "--verison": "No such option: --verison (Possible options: --version)",
    "list extra": "Got unexpected extra argument(s) (extra)",
    # Of the pictures.
    "colorize": "`PATH` should be a picture or a folder of pictures. Received: none",
    "colorize ''": (
        "an argument should not be empty, as that of a variable is which isn't set. "
        "Received: colorize ''"
    ),
    "colorize photo.png --output=": (
        "an argument should not be empty, as that of a variable is which isn't set. "
        "Received: colorize photo.png --output="
    ),
    "colorize foto.png": f"{NO_PATH} Received: foto.png",
    "colorize photo.png fotos/": f"{NO_PATH} Received: fotos",
    "colorize https://example.com/photo.jpg": (
        f"{NO_PATH} Nothing is fetched from an address: save the picture first. "
        "Received: https:/example.com/photo.jpg"
    ),
    "colorize file:///home/me/photo.jpg": (
        f"{NO_PATH} A path has no file:// before it. Received: file:/home/me/photo.jpg"
    ),
    "colorize '~/photo.png'": f"{HOME} Received: ~/photo.png",
    "colorize empty": "no pictures found in: empty",
    "colorize texts": "no pictures found in: texts",
    "colorize --from list.txt": (
        "`--from` should be a file with a path on each line. "
        "Received: list.txt (No such file or directory)"
    ),
    "colorize letter.jpg": f"letter.jpg: {KNOWN}",
    "colorize nothing.png": "nothing.png: the file is empty (0 bytes)",
    # Of the options.
    "colorize photo.png --saturation much": "`--saturation` should be a number. Received: 'much'",
    "colorize photo.png --saturation -1": (
        "`--saturation` should be greater than or equal to 0. Received: '-1'"
    ),
    "colorize photo.png --saturation 130": (
        "`--saturation` should be less than or equal to 10. Received: '130'"
    ),
    "colorize photo.png --size 0": "`--size` should be greater than or equal to 16. Received: '0'",
    "colorize photo.png --jobs 2.5": "`--jobs` should be a whole number. Received: '2.5'",
    "colorize photo.png --quality 200": (
        "`--quality` should be less than or equal to 100. Received: '200'"
    ),
    "colorize photo.png --format gif": f"`--format` should be one of {KINDS}. Received: 'gif'",
    "colorize photo.png --engine onx": (
        "`--engine` should be one of 'onnx', 'keras'. Did you mean 'onnx'? Received: 'onx'"
    ),
    "colorize photo.png --device cuda": (
        "`--device` should be 'auto', 'cpu', 'gpu' or a GPU by its number, such as 'gpu:1'. "
        "Received: 'cuda'"
    ),
    "colorize photo.png --outptu x": "No such option: --outptu (Possible options: --output)",
    "colorize photo.png --video": (
        "`--video` should be given folders of frames. Received: photo.png, a file"
    ),
    "colorize photo.png --codec h264": (
        "`PATH` should be films alone, or pictures and folders of pictures. Received: photo.png "
        "among films, or with `--codec`"
    ),
    "colorize photo.png -overwrite": "an option of a word has two dashes. Received: -overwrite",
    "colorize photo.png -saturation=2": (
        "an option of a word has two dashes. Received: -saturation=2"
    ),
    "colorize photo.png --sat 2": "No such option: --sat (Possible options: --saturation)",
    "colorize -photo.png": (
        "a path that begins with a dash should have ./ before it. Received: -photo.png"
    ),
    # Of the output.
    "colorize photos -o photos/": (
        "`--output` should be another folder than the input. Received: photos"
    ),
    "colorize photo.png --output=~/out": f"{HOME} Received: --output=~/out",
    "colorize photo.png -o photo.png": (
        "`--output` should be another one: photo.png would overwrite the input photo.png"
    ),
    "colorize photos -o photo.png": (
        "`--output` should be a folder for more than one picture. Received: photo.png"
    ),
    "colorize photo.png -o out.xyz": (
        f"`--output` should be a folder, or a file name that ends in one of {OUTPUTS}. "
        "Received: out.xyz"
    ),
    "colorize photos -o notes.txt/out": (
        "`--output` should be a folder that can be written to. "
        "Received: notes.txt/out (Not a directory)"
    ),
    "colorize kept -o kept/made": (
        "no pictures found (those in the output folder are no input: 1) in: kept"
    ),
    # Of the model.
    "colorize photo.png -m relu1to55": (
        f"{NO_MODEL} Did you mean 'relu1to5'? Received: 'relu1to55'"
    ),
    "show lit": f"{NO_MODEL} Did you mean 'lite'? Received: 'lit'",
    "pull": "Missing argument 'MODEL'.",
    "pull relu1to6": f"{NO_MODEL} Did you mean 'relu1to5'? Received: 'relu1to6'",
    "rm lite": (
        "`MODEL` should be one that was pulled. "
        "Received: 'lite', whose weights ship with its package"
    ),
    "verify nomodel": f"{NO_MODEL} Received: 'nomodel'",
    "colorize photo.png -m photo.png": f"{NO_MODEL} Received: 'photo.png'",
    "colorize photo.png -m https://huggingface.co/me/mine": (
        "`model` should be me/mine, without the address of the Hub. "
        "Received: 'https://huggingface.co/me/mine'"
    ),
    "pull https://huggingface.co/me/mine/tree/main": (
        "`model` should be me/mine, without the address of the Hub. "
        "Received: 'https://huggingface.co/me/mine/tree/main'"
    ),
    "evaluate lite --data photos --all": (
        "`--data` should hold colour pictures: the colours of a model are compared with theirs. "
        "None of those looked at in the folder '.' has any. Received: photos"
    ),
    "evaluate lite": "Missing option '--data'.",
    "evaluate lite --data fotos": "Invalid value for '--data': dir 'fotos' does not exist.",
    "evaluate lite --data photos --data texts": (
        "`--data` should be a single folder, which may have others in it. Received: photos, texts"
    ),
    "evaluate lite --data empty": (
        "`--data` should hold colour pictures. Received: empty, without any"
    ),
    "compare lite --data empty": "`--data` should hold pictures. Received: empty",
    # An output that is a picture, or that somebody has made.
    "compare lite --data photos -o photos/a.png --overwrite": (
        "`--output` should not be a picture of `--data`. Received: photos/a.png"
    ),
    "compare lite --data photos -o photo.png": (
        "`--output` should not be there yet, or `--overwrite` be given. Received: photo.png"
    ),
    "compare lite --data photos -o sheet.gif": (
        "`--output` should end in .html or .jpg or .png. Received: sheet.gif"
    ),
    "features photo.png -o letter.jpg": (
        "`--output` should not be there yet, or `--overwrite` be given. Received: letter.jpg"
    ),
    "evaluate lite --data photos --all --report photo.png": (
        "`--report` should end in .html. Received: photo.png"
    ),
    "study lite --data photos --plot photo.png": (
        "`--plot` should end in .svg. Received: photo.png"
    ),
    "export lite photos": (
        "`TARGET` should not be there yet, or `--overwrite` be given. Received: photos"
    ),
    "export lite lite.onnx --to onnx": (
        "`TARGET` should be a folder, for several files. Received: lite.onnx"
    ),
    "study lite --data photos --data texts": (
        "`--data` should be a single folder, which may have others in it. Received: photos, texts"
    ),
    "study lite --data photos --pictures none": (
        "`--pictures` should be a whole number. Received: 'none'"
    ),
    "export lite": "Missing argument 'TARGET'.",
    "export lite out --to tflite": (
        "`--to` should be one of 'kh', 'onnx', 'litert', 'web'. Received: 'tflite'"
    ),
    "export lite out --whole": (
        "`--whole` should go along with `--to` 'onnx'. Received: `--to` 'kh'"
    ),
    "publish": "`kh publish` needs a model and a repository: kh publish runs/mine me/mine",
    "publish lite": "`kh publish` needs a model and a repository: kh publish runs/mine me/mine",
    "publish lite x": (
        "`repository` should be owner/repo on the Hugging Face Hub, or owner/repo@revision. "
        "Received: 'x'"
    ),
    # Of the training.
    "train best": "Missing option '--data'.",
    "train none.toml --data photos --run run": (
        "`RECIPE` should be a readable TOML file. Received: none.toml (No such file or directory)"
    ),
    "train notes.toml --data photos --run run": (
        "`RECIPE` should be a readable TOML file. "
        "Received: notes.toml (Invalid value (at end of document))"
    ),
    "train small --data empty --run run": (
        "`--data` should hold train pictures of at least 64 pixels in the folder '.', which the "
        "recipe names. Received: ['empty']"
    ),
    # Of the page, and of a watched folder.
    "page photo.png": "Got unexpected extra argument(s) (photo.png)",
    "page --port 99999": "`--port` should be less than or equal to 65535. Received: '99999'",
    "watch fotos -o out": "`DIR` should be a folder, which is there. Received: fotos",
}
FAILED = ("colorize letter.jpg", "colorize nothing.png")
"""What is looked at before it is known to be wrong."""


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder with pictures, and with what is none."""
    folder = tmp_path_factory.mktemp("desk")
    noise = np.random.default_rng(0).integers(0, 256, (30, 40), "uint8")
    for name in ("empty", "texts", "photos"):
        (folder / name).mkdir()
    (folder / "kept" / "made").mkdir(parents=True)
    for name in ("photo.png", "-photo.png", "photos/a.png", "photos/b.png", "kept/made/a.png"):
        Image.fromarray(noise).save(folder / name)
    for name in ("letter.jpg", "notes.txt", "texts/a.txt"):
        (folder / name).write_text("Dear aunt,\n")
    (folder / "nothing.png").touch()
    (folder / "notes.toml").write_text("seed = ")
    return folder


def seen(folder):
    """The files of a folder, but the journal, which has what failed, too."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.name != NAME}


@pytest.mark.parametrize("line", MISTAKES)
def test_the_line_that_is_told(line, desk, monkeypatch, kh_here):
    monkeypatch.chdir(desk)
    before = seen(desk)
    code, out, err = kh_here(*shlex.split(line))
    failed = line in FAILED
    assert (code, out) == (1 if failed else 2, "")
    told = [one.removeprefix("Error: ") for one in err.splitlines() if one]
    assert MISTAKES[line] in told
    # Beside it stands how the command is used, or how many pictures were coloured and failed.
    assert len(told) == (3 if failed or err.startswith("Usage: ") else 1)
    assert seen(desk) == before


def test_a_terminal_is_no_picture(tmp_path, monkeypatch, kh_here):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    code, _, err = kh_here("colorize", "-", "-o", tmp_path / "out.png")
    assert (code, err.splitlines()[-1]) == (
        2,
        "Error: `-` should be a picture from a pipe or a file, where standard input is one",
    )


def test_a_variable_is_checked_once_and_before_the_first_picture(desk, monkeypatch, kh_here):
    monkeypatch.chdir(desk)
    monkeypatch.setenv("KH_MAX_MEMORY", "lots")
    code, out, err = kh_here("colorize", "photos")
    assert (code, out) == (2, "")
    assert err == "Error: `KH_MAX_MEMORY` should be a number of megabytes. Received: 'lots'\n"


def test_there_are_forty():
    assert len(MISTAKES) >= 40
