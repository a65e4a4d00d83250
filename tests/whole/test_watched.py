"""Every command, watched by strace: where it writes, and whom it talks to."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from PIL import Image
from small_models import RECIPE, model_files
from watched import STRACE, watch

from kh_cli.app import create_app
from kh_zoo.hub.store import pull

pytestmark = pytest.mark.skipif(not STRACE, reason="strace sees what a process does")

# All in one process, which imports Keras once.
PROGRAM = """
import json, os, signal, sys, threading, time
from pathlib import Path
from huggingface_hub import constants
from kh_cli.main import main
from watched import mark
codes = {}

def end_watching():
    journal = Path("arrived", ".kh-journal.jsonl")
    while not (journal.exists() and journal.read_text().count('"done"') == 2):
        time.sleep(0.05)
    time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGINT)

for name, arguments in json.load(open(sys.argv[1])).items():
    sys.argv[1:] = arguments
    constants.HF_HUB_OFFLINE = False  # which a command leaves behind that needs no network
    os.environ.pop("HF_HUB_OFFLINE", None)
    mark(name)
    if name == "watch":
        threading.Thread(target=end_watching, daemon=True).start()
    try:
        main()
        codes[name] = 0
    except SystemExit as end:
        codes[name] = end.code or 0
mark("end")
print("\\n" + json.dumps(codes))
"""
# Those that need the network come last: a connection that is open is no further call. Beside each,
# where it may write.
LOCAL = {
    "list": (["list"], ()),
    "verify": (["verify", "eve/sound"], ()),
    "plugins": (["plugins"], ()),
    "colorize": (["colorize", "dir", "-o", "out", "-m", "eve/sound"], ["out"]),
    "colorize beside": (["colorize", "dir/0.jpg", "-m", "eve/sound"], ["dir/"]),
    "watch": (["watch", "dir", "-o", "arrived", "--settle", "0.1", "-m", "eve/sound"], ["arrived"]),
    "compare": (["compare", "MODEL", "--data", "dir", "-o", "sheet/a.html"], ["sheet"]),
    "evaluate": (["evaluate", "MODEL", "--data", "DATA", "--report", "told/a.html"], ["told"]),
    "export": (["export", "MODEL", "exported", "--to", "onnx"], ["exported"]),
    "page": (["page", "-o", "written", "-m", "MODEL"], ["written"]),
    "rm": (["rm", "eve/rm"], ["hf"]),
}
ONLINE = {
    "pull": (["pull", "eve/pull"], ["hf"]),
    "pull links": (["pull", "eve/links"], ["hf"]),
    "pull etag": (["pull", "eve/etag"], ["hf"]),
    "pull commit": (["pull", "eve/commit"], ()),
    "show": (["show", "eve/pull"], ()),
    "doctor": (["doctor"], ()),
    "publish": (["publish", "MODEL", "ada/etchings", "--license", "MIT"], ()),
}
FAIL = {"pull etag": 1, "pull commit": 1}
# With TensorFlow, and the best heads of all subsets of the taps: minutes.
SLOW = {
    "train": (
        ["train", "recipe.toml", "--data", "DATA", "--run", "run", "--init", "random", "-q"],
        ["run"],
    ),
    "study": (
        ["study", "relu1to5", "--data", "DATA", "--pictures", "2", "--size", "32", "-q"],
        (),
    ),
    "features": (["features", "dir/0.jpg", "-o", "seen.png", "--size", "32"], ["seen.png"]),
}


@pytest.fixture
def run(hub, model, pictures, tmp_path):
    """Runs commands; returns their exit codes, what was seen of each, and what they said."""
    outside = tmp_path / "outside"
    home, temporary = tmp_path / "home", tmp_path / "temporary"
    for folder in (outside, home, temporary, tmp_path / "dir"):
        folder.mkdir()
    for number in range(2):
        Image.effect_noise((40 + number, 40), 60).save(tmp_path / "dir" / f"{number}.jpg")
    (tmp_path / "recipe.toml").write_text(RECIPE)
    files = {**model_files(tmp_path / "made"), "README.md": b"---\nlicense: mit\n---\n"}
    for name in ("sound", "pull", "links", "etag", "commit", "rm"):
        hub.put(f"eve/{name}", files)
    pull("eve/sound")
    for name in ("links", "rm"):  # weights that somebody keeps on another disk
        blob = (pull(f"eve/{name}").path / "model.safetensors").resolve()
        shutil.move(blob, outside / f"{name}-{blob.name}")
        blob.symlink_to(outside / f"{name}-{blob.name}")
    lies = {"ETag": str(outside / "x"), "X-Linked-Etag": "../../x"}
    hub.fail("GET /eve/etag/resolve/", lies, times=9)
    answer = {"id": "x", "sha": "../../outside", "siblings": [{"rfilename": "config.json"}]}
    hub.fail("GET /api/models/eve/commit", json.dumps(answer).encode(), times=9)
    # What opens the page ends its server.
    browser = tmp_path / "browser"
    browser.write_text("#!/bin/sh\nkill -INT $PPID\n")
    browser.chmod(0o755)

    def run(commands):
        places = {"MODEL": str(model), "DATA": str(pictures.folder)}
        lines = {
            name: [places.get(word, word) for word in line] for name, (line, _) in commands.items()
        }
        (tmp_path / "commands.json").write_text(json.dumps(lines))
        tests = str(Path(__file__).parents[1])
        result, seen = watch(
            [sys.executable, "-c", PROGRAM, "commands.json"],
            tmp_path / "trace",
            tmp_path,
            HOME=str(home),
            TMPDIR=str(temporary),
            HF_TOKEN=hub.token_of("ada"),
            BROWSER=f"{browser} %s",
            PYTHONDONTWRITEBYTECODE="1",
            PYTHONPATH=os.pathsep.join([tests, os.environ.get("PYTHONPATH", "")]),
        )
        try:
            codes = json.loads(result.stdout.splitlines()[-1])
        except ValueError:
            pytest.fail(result.stderr)
        return codes, seen, result.stderr

    return run


def check(seen, commands, tmp_path):
    """Nothing is written elsewhere than the commands may."""
    # Keras's own settings; and what is no file.
    always = (tmp_path / "home" / ".keras", tmp_path / "temporary", "/dev", "/proc")
    for name, (_, places) in commands.items():
        allowed = [str(tmp_path / place) for place in places]
        assert seen[name].outside(*map(str, always), *allowed) == [], name
        assert bool(allowed) == bool(seen[name].written) or name in ("page", "publish"), name
        assert seen[name].unsynced(*allowed) == [], name
    assert {path.name for path in (tmp_path / "home").iterdir()} <= {".keras"}


def test_commands_write_where_they_are_told_to_and_four_use_the_network(run, hub, tmp_path):
    commands = {**LOCAL, **ONLINE}
    codes, seen, said = run(commands)
    assert codes == {name: FAIL.get(name, 0) for name in commands}, said
    check(seen, commands, tmp_path)
    for name in LOCAL:
        assert seen[name].connected == [], name
    assert all(
        any(step[0] == "renamed" for step in seen[name].steps)
        for name in ("colorize", "watch", "export", "pull")
    )
    calls = [call for name in ONLINE for call in seen[name].connected]
    assert calls
    assert all(f"htons({hub.port})" in call and '"127.0.0.1"' in call for call in calls)


@pytest.mark.long
@pytest.mark.parametrize("name", SLOW)
def test_so_do_training_and_study(run, tmp_path, name):
    one = {name: SLOW[name]}
    codes, seen, said = run(one)
    assert codes == {name: 0}, said
    check(seen, one, tmp_path)
    assert seen[name].connected == []


def test_all_commands_are_watched():
    there = {command.name or command.callback.__name__ for command in _commands()}
    assert there == {name.split()[0] for name in (*LOCAL, *ONLINE, *SLOW)}


def _commands():
    from typer.main import get_group

    return get_group(create_app()).commands.values()


def test_what_is_written_elsewhere_is_seen(tmp_path):
    """By Python and by native code, from threads and from children, by any of the calls."""
    program = """
import os, subprocess, sys, threading
from watched import mark
mark("now")
elsewhere, here = sys.argv[1:]
open(elsewhere + "/a", "w").close()
os.open(elsewhere + "/a", os.O_RDONLY)
os.rename(elsewhere + "/a", here + "/b")
os.symlink(elsewhere + "/not this", here + "/c")
threading.Thread(target=os.mkdir, args=[elsewhere + "/d"]).start()
subprocess.run(["sh", "-c", "cd $0; : > e; ln e f; rm e f", elsewhere])
"""
    elsewhere, here = tmp_path / "elsewhere", tmp_path / "here"
    elsewhere.mkdir()
    here.mkdir()
    tests = str(Path(__file__).parents[1])
    command = [sys.executable, "-c", program, elsewhere, here]
    _, seen = watch(command, tmp_path / "trace", tmp_path, PYTHONPATH=tests)
    found = {Path(path).name for path in seen["now"].outside(str(here), "/dev")}
    assert found >= {"a", "d", "e"}
    assert "not this" not in found
