"""`kh` as a user runs it: whole processes."""

import json
import os
import pty
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut, camera, chelsea
from whole_process import KH

from kh_zoo.catalog.records import list_variants


def kh(*arguments, cwd, input=None, **environment):
    return subprocess.run(
        [KH, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **environment},
        input=input,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=300,
        check=False,
    )


@pytest.fixture
def photo(tmp_path):
    """Write a small gray photograph under a name."""
    gray = Image.fromarray(chelsea()[::4, ::4]).convert("L")

    def write(name):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        gray.save(path)
        return path

    return write


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def chroma(path):
    rgb = pixels(path)
    return (rgb.max(-1) - rgb.min(-1)).mean()


class TestColorize:
    def test_a_picture_and_a_folder(self, tmp_path, photo, model):
        photo("a.jpg")
        photo("dir/sub/b.png")
        result = kh("colorize", "a.jpg", "dir", "-m", model, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        assert result.stdout.split() == ["a.color.jpg", "dir-color/sub/b.png"]
        assert "2 coloured" in result.stderr
        for name in result.stdout.split():
            assert pixels(tmp_path / name).shape == pixels(tmp_path / "a.jpg").shape
            assert chroma(tmp_path / name) > 20
        assert chroma(tmp_path / "a.jpg") == 0

    def test_again_does_nothing_and_says_so(self, tmp_path, photo, model):
        photo("a.jpg")
        photo("b.jpg")
        kh("colorize", "a.jpg", "b.jpg", "-m", model, cwd=tmp_path)
        times = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
        names = sorted(path.name for path in tmp_path.iterdir())
        result = kh("colorize", *names, "-m", model, cwd=tmp_path)
        assert result.returncode == 0
        assert result.stdout == ""
        assert "2 skipped: already there, --overwrite redoes them" in result.stderr
        assert "3 skipped: outputs themselves" in result.stderr  # the journal is one
        assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == times

        again = kh("colorize", "a.jpg", "--overwrite", "--quiet", "-m", model, cwd=tmp_path)
        assert (again.returncode, again.stdout, again.stderr) == (0, "a.color.jpg\n", "")
        assert (tmp_path / "a.color.jpg").stat().st_mtime_ns > times[tmp_path / "a.color.jpg"]

    @pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
    def test_an_output_under_another_name_is_recognised(self, tmp_path, photo, model, suffix):
        photo("a.jpg")
        first = kh("colorize", "a.jpg", "-o", f"out/b.{suffix}", "-m", model, cwd=tmp_path)
        assert first.returncode == 0, first.stderr
        result = kh("colorize", "out", "-m", model, cwd=tmp_path)
        assert result.returncode == 2
        assert "is an output itself" in result.stderr
        assert not (tmp_path / "out-color").exists()

    def test_a_bad_picture_does_not_stop_the_rest(self, tmp_path, photo, model):
        photo("dir/a.jpg")
        (tmp_path / "dir" / "bad.jpg").write_text("this is text")
        (tmp_path / "dir" / "empty.jpg").touch()
        whole = photo("dir/z.jpg").read_bytes()
        (tmp_path / "dir" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
        result = kh("colorize", "dir", "--quiet", "-m", model, cwd=tmp_path)
        assert result.returncode == 1
        assert result.stdout.split() == ["dir-color/a.jpg", "dir-color/z.jpg"]
        lines = result.stderr.splitlines()
        assert [line.split(": ")[0] for line in lines] == [
            "dir/bad.jpg",
            "dir/cut.jpg",
            "dir/empty.jpg",
        ]
        assert all(len(line) > len("dir/empty.jpg: ") for line in lines)
        written = sorted(path.name for path in (tmp_path / "dir-color").iterdir())
        assert written == [".kh-journal.jsonl", "a.jpg", "z.jpg"]

    def test_json_lines(self, tmp_path, photo, model):
        photo("dir/a.jpg")
        photo("dir/b.jpg")
        kh("colorize", "dir/b.jpg", "-o", "dir-color", "-m", model, cwd=tmp_path)
        (tmp_path / "dir" / "bad.jpg").write_text("this is text")
        result = kh("colorize", "dir", "--json", "-m", model, cwd=tmp_path)
        records = [json.loads(line) for line in result.stdout.splitlines()]
        assert all(record["schema"] == 1 for record in records)
        assert {(record["input"], record["output"], record["status"]) for record in records} == {
            ("dir/a.jpg", "dir-color/a.jpg", "done"),
            ("dir/b.jpg", "dir-color/b.jpg", "skipped"),
            ("dir/bad.jpg", "dir-color/bad.jpg", "failed"),
        }
        by_status = {record["status"]: record for record in records}
        assert by_status["done"]["seconds"] > 0
        assert by_status["done"]["reason"] is None
        assert by_status["failed"]["reason"]
        assert by_status["skipped"]["reason"] == "already there"

    def test_a_list_of_paths(self, tmp_path, photo, model):
        photo("dir/a.jpg")
        photo("b.jpg")
        odd = os.fsencode(tmp_path) + b"/\xff.jpg"  # a name that is no UTF-8
        shutil.copy(tmp_path / "b.jpg", odd)
        (tmp_path / "list").write_bytes(b"dir/a.jpg\r\n\n" + odd + b"\n")
        work = ("colorize", "b.jpg", "--from", "list", "-o", "out", "-q", "-m", model)
        result = kh(*work, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        assert sorted(os.listdir(os.fsencode(tmp_path / "out"))) == [
            b".kh-journal.jsonl",
            b"a.jpg",
            b"b.jpg",
            b"\xff.jpg",
        ]
        (tmp_path / "other").write_bytes(b"b.jpg")
        lists = ("--from", "other", "--from", "-")
        result = kh("colorize", *lists, "-m", model, cwd=tmp_path, input="dir\n")
        assert result.returncode == 0, result.stderr
        assert result.stdout == "b.color.jpg\ndir-color/a.jpg\n"
        for wrong in (["--from", "none"], ["--from", "dir"], []):
            result = kh("colorize", *wrong, "-m", model, cwd=tmp_path)
            assert result.returncode == 2
            assert re.match("Error: `(--from|PATH)` should be a ", result.stderr)
            assert result.stderr.count("\n") == 1

    def test_what_is_not_taken_from_a_file_is_said(self, tmp_path, model):
        Image.fromarray(astronaut()).save(tmp_path / "a.png")
        Image.fromarray(camera()).save(tmp_path / "b.png")
        result = kh("colorize", "a.png", "b.png", "--json", "-m", model, cwd=tmp_path)
        assert "1 of them: colour: only its lightness is used" in result.stderr.splitlines()
        records = [json.loads(line) for line in result.stdout.splitlines()]
        notes = {record["input"]: record["notes"] for record in records}
        assert notes == {"a.png": ["colour: only its lightness is used"], "b.png": []}

    def test_options_reach_the_picture(self, tmp_path, photo, model):
        photo("a.jpg")

        def size(*options):
            arguments = ("a.jpg", "-o", "out.jpg", "--overwrite", "--quiet", "-m", model, *options)
            result = kh("colorize", *arguments, cwd=tmp_path)
            assert result.returncode == 0, result.stderr
            return (tmp_path / "out.jpg").stat().st_size

        assert size("--quality", "30") < size("--quality", "95")
        assert size("--saturation", "0") > 0
        assert chroma(tmp_path / "out.jpg") < 2
        size("--size", "16", "--compare")
        assert pixels(tmp_path / "out.jpg").shape[1] > pixels(tmp_path / "a.jpg").shape[1]

    def test_names_that_are_no_utf8(self, tmp_path, photo, model):
        name = os.fsdecode(b"caf\xe9.jpg")
        try:
            photo("a.jpg").rename(tmp_path / name)
        except OSError:
            pytest.skip("the file system has no such names")
        result = subprocess.run(
            [KH, "colorize", name, "-m", model], cwd=tmp_path, capture_output=True, check=False
        )
        assert result.returncode == 0, result.stderr
        assert result.stdout == b"caf\xe9.color.jpg\n"

    def test_nothing_heavy_is_imported_beside_the_worker(self, tmp_path, photo, model):
        photo("a.jpg")
        program = (
            "import sys\n"
            "from kh_cli.main import main\n"
            "try:\n    main()\n"
            "except SystemExit as end:\n    assert end.code == 0, end.code\n"
            "heavy = {'keras', 'tensorflow', 'jax', 'torch', 'rich', 'numpy', 'onnxruntime'}\n"
            "print(sorted(heavy & set(sys.modules)))"
        )
        result = subprocess.run(
            [sys.executable, "-c", program, "colorize", "a.jpg", "--quiet", "-m", model],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.stdout.splitlines() == ["a.color.jpg", "[]"], result.stderr

    def test_the_engine_of_keras_makes_the_same_picture(self, tmp_path, photo, model):
        photo("a.png")
        for engine in ("onnx", "keras"):
            result = kh(
                "colorize", "a.png", "-o", f"{engine}.png", "--engine", engine, "-m", model,
                cwd=tmp_path,
            )  # fmt: skip
            assert result.returncode == 0, result.stderr
            assert not re.search("CUDA|cuda|oneDNN|absl|I0000|E0000", result.stderr)
        one, other = (pixels(tmp_path / f"{engine}.png") for engine in ("onnx", "keras"))
        assert np.abs(one - other).max() <= 1

    def test_what_cannot_be_written_whole_is_not_written(self, tmp_path, photo, model):
        """A bound on the size of files stands in for a disk that is nearly full."""
        photo("dir/a.jpg")
        photo("dir/b.jpg")
        program = (
            "import os, resource, signal, sys\n"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))\n"
            "os.execv(sys.argv[1], sys.argv[1:])"
        )
        result = subprocess.run(
            [sys.executable, "-c", program, KH, "colorize", "dir", "-q", "-m", model],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 1
        assert result.stdout == ""
        lines = result.stderr.splitlines()
        assert [line.split(": ")[0] for line in lines] == ["dir/a.jpg", "dir/b.jpg"]
        assert [path.name for path in tmp_path.rglob("dir-color/*")] == [".kh-journal.jsonl"]


class TestWrongUse:
    def check(self, result, *words):
        assert result.returncode == 2
        assert result.stdout == ""
        [line] = result.stderr.splitlines()
        assert all(word in line for word in words), line

    def test_no_pictures(self, tmp_path):
        self.check(kh("colorize", ".", cwd=tmp_path), "no pictures found")

    def test_missing(self, tmp_path):
        self.check(kh("colorize", "gone.jpg", cwd=tmp_path), "gone.jpg")

    def test_unknown_variant(self, tmp_path, photo):
        photo("a.jpg")
        result = kh("colorize", "a.jpg", "-m", "relu1to6", cwd=tmp_path)
        self.check(result, "relu1to6", "Did you mean 'relu1to5'", "pool1to4")

    def test_unknown_engine(self, tmp_path, photo, model):
        photo("a.jpg")
        result = kh("colorize", "a.jpg", "-m", model, "--engine", "onyx", cwd=tmp_path)
        self.check(result, "onyx", "keras")

    def test_a_folder_that_is_no_model(self, tmp_path, photo):
        photo("dir/a.jpg")
        self.check(kh("colorize", "dir", "-m", "dir", cwd=tmp_path), "dir")

    def test_one_output_for_two(self, tmp_path, photo, model):
        photo("a.jpg")
        photo("a.png")
        result = kh("colorize", "a.jpg", "a.png", "--format", "jpg", "-m", model, cwd=tmp_path)
        self.check(result, "a.jpg", "a.png")
        assert len(list(tmp_path.iterdir())) == 2

    def test_an_output_folder_that_cannot_be_written_to(self, tmp_path, photo):
        photo("a.jpg")
        (tmp_path / "file").touch()
        self.check(kh("colorize", "a.jpg", "-o", "file/out", cwd=tmp_path), "file/out")

    @pytest.mark.parametrize(
        "arguments",
        [
            ["colour"],
            ["colorize", "a.jpg", "--sise", "64"],
            ["evaluate", "relu1to5", "--data", "gone"],
            ["export", "gone"],
        ],
    )
    def test_usage_errors(self, tmp_path, arguments):
        result = kh(*arguments, cwd=tmp_path)
        assert result.returncode == 2
        assert result.stderr.startswith("Usage: kh")


class TestInterrupt:
    def test_ctrl_c_says_what_was_done_and_leaves_nothing_half_written(
        self, tmp_path, photo, model
    ):
        for number in range(300):
            photo(f"dir/{number:03}.jpg")
        with subprocess.Popen(
            [KH, "colorize", "dir", "-m", model],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            first = process.stdout.readline()
            process.send_signal(signal.SIGINT)
            # `communicate` would miss the lines that came together with the first one.
            rest, talk = process.stdout.read(), process.stderr.read()
        assert process.returncode == 130
        done = [first.strip(), *rest.split()]
        assert 0 < len(done) < 300
        assert f"interrupted: {len(done)} coloured" in talk
        assert "Traceback" not in talk
        written = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("dir-color/*.jpg"))
        assert len(list(tmp_path.rglob("dir-color/*"))) == len(written) + 1  # the journal
        assert [str(path) for path in written] == sorted(done)
        for path in written:
            assert pixels(tmp_path / path).size


class TestTerminal:
    def test_a_bar_on_a_terminal_and_paths_in_the_pipe(self, tmp_path, photo, model):
        photo("dir/a.jpg")
        photo("dir/b.jpg")
        (tmp_path / "dir" / "bad.jpg").write_text("this is text")
        leader, follower = pty.openpty()
        process = subprocess.Popen(
            [KH, "colorize", "dir", "-m", model],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=follower,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
        )
        os.close(follower)
        seen = b""
        try:
            while chunk := os.read(leader, 65536):
                seen += chunk
        except OSError:  # how the end of a terminal looks on Linux
            pass
        os.close(leader)
        out = process.communicate(timeout=300)[0]
        assert out.decode().split() == ["dir-color/a.jpg", "dir-color/b.jpg"]
        assert process.returncode == 1
        text = seen.decode()
        assert "colouring" in text
        assert "3/3" in text
        assert "dir/bad.jpg: " in text
        assert "2 coloured" in text


class TestOtherCommands:
    def test_version(self, tmp_path):
        result = kh("--version", cwd=tmp_path)
        assert (result.returncode, result.stdout) == (0, f"kh {version('keras-hypercolumns')}\n")

    def test_list(self, tmp_path):
        result = kh("list", cwd=tmp_path)
        assert result.returncode == 0
        for variant in list_variants():
            assert variant.name in result.stdout
        assert "lite (default)" in result.stdout
        lines = kh("list", "--json", cwd=tmp_path).stdout.splitlines()
        records = [json.loads(line) for line in lines]
        assert [r["name"] for r in records if r["default"]] == ["lite"]
        assert {r["name"]: r["channels"] for r in records} == {
            "lite": 856,
            "full": 5440,
            "relu1to5": 1472,
            "relu3to5": 1280,
            "pool1to4": 960,
        }

    def test_show(self, tmp_path):
        result = kh("show", "relu1-5", cwd=tmp_path)
        assert result.returncode == 0
        for word in ("relu3_4", "1472", "Apache-2.0"):
            assert word in result.stdout
        record = json.loads(kh("show", "relu1to5", "--json", cwd=tmp_path).stdout)
        assert record["schema"] == 1
        assert record["taps"] == ["relu1_2", "relu2_2", "relu3_4", "relu4_4", "relu5_4"]
        assert Path(record["folder"], "model.safetensors").is_file()
        assert record["card"] in result.stdout + "\n"

    def test_list_imports_nothing_heavy(self, tmp_path):
        program = (
            "import sys\n"
            "from kh_cli.main import main\n"
            "try:\n    main()\n"
            "except SystemExit:\n    pass\n"
            "print(sorted({'numpy', 'onnx', 'onnxruntime', 'keras', 'pyvips'} & set(sys.modules)))"
        )
        for arguments in (["list"], ["show", "full"], ["--help"]):
            result = subprocess.run(
                [sys.executable, "-c", program, *arguments],
                capture_output=True,
                text=True,
                check=False,
            )
            assert result.stdout.splitlines()[-1] == "[]", result.stderr

    def test_help_is_fast(self, tmp_path):
        # Of the processor, not of the clock: this machine may be busy with other things.
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert kh("--help", cwd=tmp_path).returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.6

    def test_a_reader_that_goes_away_is_no_error(self, tmp_path):
        result = subprocess.run(
            f"{KH} show full | true; {KH} list --json | true",
            shell=True,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.stderr == ""

    def test_a_bug_is_one_line_and_its_traceback_is_there_for_the_asking(self, tmp_path):
        program = (
            "import kh_zoo.catalog.records, kh_cli.main\n"
            "def broken(): raise KeyError('oops')\n"
            "kh_zoo.catalog.records.list_variants = broken\n"
            "kh_cli.main.main()"
        )
        for debug in ("", "1"):
            result = subprocess.run(
                [sys.executable, "-c", program, "list"],
                env={**os.environ, "KH_DEBUG": debug},
                capture_output=True,
                text=True,
                check=False,
            )
            assert result.returncode == 1
            assert "KeyError" in result.stderr
            assert "report" in result.stderr
            assert ("Traceback" in result.stderr) == bool(debug)
            assert (len(result.stderr.splitlines()) > 1) == bool(debug)


RECIPE = """
seed = 1
variants = ["pool1to4"]
checkpoint_steps = 2
validation_size = 32
validation_pictures = 2
head_size = 32
head_pictures = 4
head_points = 16

[[stages]]
size = 32
steps = {steps}
batch = {{ "." = 2 }}
"""


class TestTrain:
    @pytest.mark.long
    def test_a_run_that_is_interrupted_goes_on(self, tmp_path, pictures):
        (tmp_path / "recipe.toml").write_text(RECIPE.format(steps=12))
        arguments = ["train", "recipe.toml", "--data", pictures.folder, "--run", "run"]
        process = subprocess.Popen(
            [KH, *map(str, arguments)],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        state = tmp_path / "run" / "state.json"
        while not state.exists() and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, talk = process.communicate(timeout=300)
        assert process.returncode == 130, talk
        done = json.loads(state.read_text())["step"]
        assert 0 < done < 12
        assert f"interrupted: {done} of 12 steps" in talk

        result = kh(*arguments, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        assert json.loads(state.read_text())["step"] == 12
        assert "Traceback" not in result.stderr

    @pytest.mark.parametrize(
        ("steps", "done", "told"),
        [(0, 0, "its heads are fitted: `kh evaluate"), (2, 1, "interrupted: 1 of 2 steps kept")],
    )
    def test_what_became_of_it_is_told(self, steps, done, told, tmp_path, monkeypatch, kh_here):
        trained = SimpleNamespace(
            recipe=SimpleNamespace(steps=steps, head_size=None), steps=done, model=None
        )
        monkeypatch.setattr("keras_hypercolumns.training.train.train", lambda *_, **__: trained)
        monkeypatch.setattr("kh_zoo.with_keras.keras_model.write_colorizer", lambda *_: None)
        code, _, err = kh_here("train", "small", "--data", tmp_path, "--run", tmp_path / "run")
        assert code == (130 if done < steps else 0)
        assert told in err

    def test_heads_for_pictures_of_ones_own(self, tmp_path):
        """From a trained model, with a solver in place of a recipe, beside the data folder."""
        random = np.random.default_rng(0)
        (tmp_path / "comics").mkdir()
        for number in range(4):
            page = random.integers(0, 256, (130, 130, 3), "uint8")
            Image.fromarray(page).save(tmp_path / "comics" / f"{number}.png")
        arguments = ["train", "--data", "comics", "--from", "relu1to5"]
        for wrong in ([], ["small", "--solver", "head"]):
            result = kh(*arguments, *wrong, cwd=tmp_path)
            assert result.returncode == 2
            assert "needs a recipe, such as best, or a `--solver`" in result.stderr
        assert not (tmp_path / "comics-run").exists()
        process = subprocess.Popen(
            [KH, *arguments, "--solver", "head"], cwd=tmp_path, stderr=subprocess.PIPE, text=True
        )
        recipe = tmp_path / "comics-run" / "recipe.json"
        while not recipe.exists() and process.poll() is None:
            time.sleep(0.05)
        process.kill()  # the heads of four variants on 500 pictures are no matter of seconds
        process.communicate()
        begun = json.loads(recipe.read_text())
        assert begun["init"] == "relu1to5"
        assert begun["stages"][0]["steps"] == 0

    def test_a_bad_recipe_is_told(self, tmp_path, pictures, monkeypatch, kh_here):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "recipe.toml").write_text("colour = 1\n" + RECIPE.format(steps=2))
        code, _, err = kh_here("train", "recipe.toml", "--data", pictures.folder, "--run", "run")
        assert code == 2
        assert "'colour'" in err.splitlines()[-1]
        assert "Traceback" not in err

    def test_a_missing_backend_is_told(self, tmp_path, pictures):
        (tmp_path / "torch.py").write_text(
            "raise ModuleNotFoundError('No module named torch', name='torch')"
        )
        result = kh(
            "train", "small", "--data", pictures.folder, "--run", "run",
            cwd=tmp_path, KERAS_BACKEND="torch", PYTHONPATH=str(tmp_path),
        )  # fmt: skip
        assert result.returncode == 2
        [line] = result.stderr.splitlines()
        assert "pip install 'keras-hypercolumns[torch]'" in line

    @pytest.mark.long
    def test_a_run_begins_with_a_model_and_says_how_far_it_went(self, tmp_path, pictures, model):
        recipe = RECIPE.format(steps=1).replace("pool1to4", "relu1to3")
        (tmp_path / "recipe.toml").write_text("batch_norm = false\n" + recipe)
        arguments = ["train", "recipe.toml", "--data", pictures.folder, "--run", "run"]

        # The model has one convolution block, which is not all of the trunk.
        result = kh(*arguments, "--init", model, cwd=tmp_path)
        assert result.returncode == 2
        line = result.stderr.splitlines()[-1]
        assert "reaches as deep" in line
        assert "pool1" in line

        result = kh(*arguments, "--init", "relu1to5", "--tensorboard", cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        assert result.stdout == ""
        changes = json.loads((tmp_path / "run" / "layers.json").read_text())["layers"]
        table = result.stderr.split("relative change")[1].splitlines()[1:]
        words = " ".join(table).split()
        for layer, change in changes.items():
            assert words[words.index(layer) + 1] == f"{change:.3g}"
        assert "trained 1 step:" in result.stderr
        assert json.loads((tmp_path / "run" / "recipe.json").read_text())["init"] == "relu1to5"
        [events] = (tmp_path / "run" / "tensorboard").iterdir()
        assert events.stat().st_size > 1000

        again = kh(*arguments, "--quiet", cwd=tmp_path)
        assert again.returncode == 0
        assert "relative change" not in again.stderr
        assert "trained" not in again.stderr
        other = kh(*arguments, "--init", "random", cwd=tmp_path)
        assert other.returncode == 2
        assert "differs in init" in other.stderr

    def test_what_logs_need_is_told(self, tmp_path, pictures, monkeypatch, kh_here):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setitem(sys.modules, "tensorboardX", None)
        code, _, err = kh_here(
            "train", "small", "--data", pictures.folder, "--run", "run", "--tensorboard"
        )
        assert code == 2
        line = err.splitlines()[-1]
        assert line.startswith("Error: ")
        assert "pip install 'keras-hypercolumns[tensorboard]'" in line
        assert not (tmp_path / "run").exists()
