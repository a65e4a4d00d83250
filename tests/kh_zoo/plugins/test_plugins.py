"""Plugins, installed as plugins are, in whole processes."""

import itertools
import json
import os
import re
import resource
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.color import rgb2lab
from skimage.data import chelsea

from kh_zoo.networks.model_folder import vgg19_config
from kh_zoo.networks.tensors import write_model_folder
from kh_zoo.pictures.formats import READ
from kh_zoo.pictures.output import SUFFIXES

KH = Path(sys.executable).with_name("kh")
EXAMPLE = Path(__file__).parents[3] / "examples" / "plugin"
HEAVY = {"numpy", "onnx", "onnxruntime", "keras", "pyvips", "httpx2", "rich", "scipy"}


def run(*command, path=(), cwd=None, **environment):
    """Run a process that finds what is installed in the folders of `path`."""
    environment = {"KH_DEBUG": "0", "PYTHONPATH": os.pathsep.join(map(str, path)), **environment}
    inherited = {name: value for name, value in os.environ.items() if name != "KH_PLUGINS"}
    return subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def kh(*arguments, **options):
    return run(KH, *arguments, **options)


def records(*arguments, **options):
    result = kh(*arguments, "--json", **options)
    assert result.returncode == 0, result.stderr
    return {record["name"]: record for record in map(json.loads, result.stdout.splitlines())}


def commands(result):
    """Those that the help lists."""
    listed = result.stdout.split("\nOptions:")[1]
    return re.findall(r"^  (\w[\w-]*)(?: |$)", listed, re.M)


def write_distribution(folder, name, module, points, version="1.0"):
    """What an installer leaves behind: the module and the metadata."""
    (folder / f"{points[0]}.py").write_text(module)
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(
        "[keras_hypercolumns.plugins]\n" + f"{points[1]} = {points[2]}\n"
    )


@pytest.fixture(scope="session")
def example(tmp_path_factory):
    """A folder in which the example plugin is installed."""
    folder = tmp_path_factory.mktemp("example")
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--target", str(folder)]
    if find_spec("hatchling"):
        pip.append("--no-build-isolation")
    if subprocess.run([*pip, str(EXAMPLE)], capture_output=True, check=False).returncode:
        # No network to fetch hatchling from.
        project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
        [(name, module)] = project["entry-points"]["keras_hypercolumns.plugins"].items()
        code = (EXAMPLE / f"{module}.py").read_text()
        points = (module, name, module)
        write_distribution(folder, project["name"], code, points, project["version"])
    return folder


@pytest.fixture(scope="module")
def own_commands():
    """Those of `kh` without a plugin."""
    return commands(kh("--help", KH_PLUGINS=""))


@pytest.fixture
def install(tmp_path):
    """Install a plugin of the given code, and return the folder."""

    def write(code, name="broken", value=None, distribution=None):
        folder = tmp_path / "site" / (distribution or name)
        folder.mkdir(parents=True)
        module = f"module_of_{name}"
        points = (module, name, value or module)
        code = f"from kh_zoo.hookspecs import hookimpl\n{code}"
        write_distribution(folder, distribution or f"kh-{name}", code, points)
        return folder

    return write


@pytest.fixture
def gray(tmp_path):
    """A small gray photograph: `a.npy`, and the array in it."""
    array = np.asarray(Image.fromarray(chelsea()[::4, ::4]).convert("L"))
    np.save(tmp_path / "a.npy", array)
    return array


def lab(path):
    with Image.open(path) as image:
        return rgb2lab(np.asarray(image.convert("RGB")))


class TestExample:
    def test_its_command_is_in_the_help_and_works(self, tmp_path, example, gray, own_commands):
        assert commands(kh("--help", path=[example])) == [*own_commands, "gray"]

        result = kh("gray", "a.npy", path=[example], cwd=tmp_path)
        assert (result.returncode, result.stdout, result.stderr) == (0, "a.gray.png\n", "")
        with Image.open(tmp_path / "a.gray.png") as image:
            assert np.abs(np.asarray(image).astype(int) - gray).max() <= 1

    def test_its_engine_colours_what_its_reader_reads(self, tmp_path, example, gray):
        result = kh("colorize", "a.npy", "--engine", "sepia", "-q", path=[example], cwd=tmp_path)
        assert (result.returncode, result.stdout, result.stderr) == (0, "a.color.png\n", "")
        found = lab(tmp_path / "a.color.png")
        expected = rgb2lab(np.repeat(gray[..., None], 3, -1))
        assert np.abs(found[..., 0] - expected[..., 0]).max() < 1
        middle = (expected[..., 0] > 30) & (expected[..., 0] < 70)  # in gamut
        np.testing.assert_allclose(found[middle].mean(0)[1:], (6, 20), atol=0.5)

    def test_arrays_of_every_kind(self, tmp_path, example, random):
        """A folder of them, as Python reads it: the sizes, the bits and L."""
        arrays = {}
        for dtype, channels in itertools.product(("uint8", "<u2", ">u2"), (None, 1, 2, 3, 4)):
            shape = (40, 50) if channels is None else (40, 50, channels)
            name = f"{dtype} {channels}"
            arrays[name] = random.integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)
            np.save(tmp_path / f"{name}.npy", arrays[name])
        # One process: each that starts takes longer than all of these pictures.
        program = (
            "import numpy as np\nfrom pathlib import Path\n"
            "from kh_zoo.pictures.picture import Picture\n"
            "for path in Path().glob('*.npy'):\n"
            "  picture = Picture(path)\n  lightness, alpha = picture.full()\n"
            "  np.savez(path.stem, lightness=lightness.numpy(),\n"
            "    size=(picture.width, picture.height), bits=16 if picture.sixteen_bit else 8,\n"
            "    alpha=alpha.numpy() if alpha else np.zeros(0))"
        )
        result = run(sys.executable, "-c", program, path=[example], cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        for name, given in arrays.items():
            out = np.load(tmp_path / f"{name}.npz")
            assert out["size"].tolist() == [50, 40], name
            assert out["bits"] == (8 if given.dtype == "uint8" else 16), name
            array = given.reshape(40, 50, -1)
            color = array[..., :3] if array.shape[2] > 2 else np.repeat(array[..., :1], 3, -1)
            expected = rgb2lab(color / np.iinfo(given.dtype).max)[..., 0]
            np.testing.assert_allclose(out["lightness"], expected, atol=0.5, err_msg=name)
            alpha = array[..., -1].ravel() if array.shape[2] in (2, 4) else []
            np.testing.assert_array_equal(out["alpha"].ravel(), alpha, err_msg=name)

    def test_folders_are_searched_for_its_suffix(self, tmp_path, example, gray):
        (tmp_path / "dir").mkdir()
        (tmp_path / "a.npy").rename(tmp_path / "dir" / "A.NPY")
        Image.fromarray(gray).save(tmp_path / "dir" / "b.jpg")
        arguments = ("colorize", "dir", "--engine", "onnx", "-q")
        assert kh(*arguments, cwd=tmp_path).stdout == "dir-color/b.jpg\n"
        result = kh(*arguments, "--overwrite", path=[example], cwd=tmp_path)
        assert result.stdout.split() == ["dir-color/A.png", "dir-color/b.jpg"]

    def test_its_variant_is_listed_and_found(self, tmp_path, example, gray, random):
        listed = records("list", path=[example])
        assert list(listed) == ["lite", "full", "relu1to5", "relu3to5", "pool1to4", "comics"]
        config = vgg19_config(pooling="average", size=64, heads={"comics": ("relu1_2",)})
        shapes = config.tensor_shapes()
        assert listed["comics"]["parameters"] == sum(map(np.prod, shapes.values()))
        tensors = {name: random.normal(0, 0.02, shapes[name]).astype("float32") for name in shapes}
        tensors["comics.bias"] = np.float32([0.5, 0.5])
        model = tmp_path / "home" / "kh-models" / "comics"
        model.mkdir(parents=True)
        write_model_folder(model, config, tensors)
        result = kh(
            "colorize", "a.npy", "-q", "-m", "Comics",
            path=[example], cwd=tmp_path, HOME=str(tmp_path / "home"),
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        assert lab(tmp_path / "a.color.png")[..., 1:].mean() > 10

    def test_its_state(self, example):
        found = records("plugins", path=[example])
        assert list(found) == ["kh_cli", "kh_zoo", "darkroom"]
        plugin = found["darkroom"]
        assert (plugin["version"], plugin["state"]) == ("0.1.0", "loaded")
        assert sorted(plugin["hooks"]) == [
            f"register_{what}" for what in ("commands", "engines", "readers", "variants")
        ]
        assert {found[name]["state"] for name in ("kh_cli", "kh_zoo")} == {"built in"}
        table = kh("plugins", path=[example])
        assert table.returncode == 0
        assert "darkroom" in table.stdout
        assert "commands, engines" in table.stdout

    @pytest.mark.parametrize(
        "arguments", [["--help"], ["list", "--json"], ["plugins", "--json"], ["gray", "--help"]]
    )
    def test_nothing_heavy_is_imported(self, example, arguments):
        program = (
            "import sys\nfrom kh_cli.main import main\n"
            "try:\n    main()\nexcept SystemExit:\n    pass\n"
            f"print(sorted({HEAVY!r} & set(sys.modules)), 'kh_darkroom' in sys.modules)"
        )
        result = run(sys.executable, "-c", program, *arguments, path=[example])
        assert result.stdout.splitlines()[-1] == "[] True", result.stderr

    def test_help_is_as_fast_with_it(self, example):
        def seconds(path):
            # Of the processor, not of the clock: this machine may be busy with other things.
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            assert kh("--help", path=path).returncode == 0
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

        # In turns, so that what disturbs the one disturbs the other.
        pairs = [(seconds([]), seconds([example])) for _ in range(5)]
        without, with_it = map(min, zip(*pairs, strict=True))
        assert with_it < 0.6
        assert with_it - without < 0.1


FAILURES = {
    "it raises": ("raise ValueError('oops')", None, "ValueError: oops"),
    "it ends Python": ("raise SystemExit(3)", None, "SystemExit: 3"),
    "it is no Python": ("this is a text", None, "SyntaxError"),
    "it lacks a package": ("import a_package_of_none", None, "a_package_of_none"),
    "no module": ("", "gone", "No module named 'gone'"),
    "no object": ("", "module_of_broken:Gone", "Gone"),
    "no entry point": ("", "-", "Error"),
    "no plugin": ("x = 1", "module_of_broken:x", "no function with `@hookimpl`"),
    "no hook": ("def register_engines(register): ...", None, "no function with `@hookimpl`"),
    "a misspelt hook": (
        "@hookimpl\ndef register_engine(register): ...",
        None,
        "Did you mean 'register_engines'? Received: 'register_engine'",
    ),
    "a wrong argument": ("@hookimpl\ndef register_engines(registry): ...", None, "registry"),
    "it asks too early": ("import kh_zoo\nkh_zoo.list_variants()", None, "plugins"),
}

WORKS = """
@hookimpl
def register_commands(app):
    @app.command()
    def works(): print("works")
"""


def failure(result, name="broken"):
    """The one line on stderr."""
    assert result.returncode == 0, result.stderr
    [line] = result.stderr.splitlines()
    assert line.startswith(f"Warning: plugin {name!r} failed: ")
    assert line.endswith(f"(KH_PLUGINS=-{name} leaves it out)")
    return line


class TestFailures:
    @pytest.mark.parametrize(("code", "value", "reason"), FAILURES.values(), ids=FAILURES)
    def test_what_cannot_be_loaded(self, install, code, value, reason):
        path = [install(code, value=value), install(WORKS, "works")]
        result = kh("works", path=path)
        assert result.stdout == "works\n"
        assert reason in failure(result)
        found = records("plugins", path=path)
        assert found["broken"]["state"] == "failed"
        assert reason in found["broken"]["reason"]
        assert found["broken"]["hooks"] == []
        assert found["works"]["state"] == "loaded"
        without = kh("works", path=path, KH_PLUGINS="-broken")
        assert (without.stdout, without.stderr) == ("works\n", "")

    def test_python_goes_on_and_is_warned_once(self, install):
        program = "from kh_zoo import list_variants\nprint(len(list_variants() + list_variants()))"
        result = run(sys.executable, "-c", program, path=[install("raise ValueError('oops')")])
        assert (result.returncode, result.stdout) == (0, "10\n")
        assert result.stderr.count("PluginWarning: plugin 'broken' failed: ValueError: oops") == 1

    @pytest.mark.parametrize(
        ("hook", "done"),
        [
            ("commands", "app.command()(half)"),
            ("variants", "register(dataclasses.replace(variant, name='half'))"),
            ("engines", "register('half', lambda folder, head, device: None)"),
            ("readers", "register('.half', print)"),
        ],
    )
    def test_what_raises_in_a_hook_adds_nothing(self, install, hook, done):
        argument = "app" if hook == "commands" else "register"
        code = (
            "import dataclasses\nfrom kh_zoo.catalog.records import Variant\n"
            "variant = Variant(**dict.fromkeys(Variant.__dataclass_fields__))\n"
            "def half(): ...\n"
            f"@hookimpl\ndef register_{hook}({argument}):\n"
            f"    {done}\n    raise RuntimeError('oops')\n"
        )
        path = [install(code), install(WORKS, "works")]
        assert f"register_{hook}: RuntimeError: oops" in failure(kh("plugins", path=path))
        program = (
            "from kh_zoo.plugins.registry import plugins\nfrom kh_zoo import list_variants\n"
            "from kh_cli.app import create_app\nfrom typer.main import get_command\n"
            "found = plugins()\nnames = [*found.engines, *found.readers]\n"
            "names += [variant.name for variant in list_variants()]\n"
            "print(*names, *get_command(create_app()).commands)"
        )
        names = run(sys.executable, "-c", program, path=path).stdout.split()
        assert {"onnx", "keras", "full", "works", "list"} <= set(names)
        assert not {"half", ".half"} & set(names)
        # Without the last line, it is there: the test can fail.
        (path[0] / "module_of_broken.py").write_text(
            "from kh_zoo.hookspecs import hookimpl\n" + code.replace("raise RuntimeError", "str")
        )
        names = run(sys.executable, "-c", program, path=path).stdout.split()
        assert {"half", ".half"} & set(names)

    @pytest.mark.parametrize(
        ("hook", "code", "message"),
        [
            ("commands", "app.command('list')(print_it)", "'list' is that of plugin 'kh_cli'"),
            ("commands", "app.command('gray')(print_it)", "'gray' is that of plugin 'darkroom'"),
            ("commands", "app.add_typer(group, name='show')", "'show' is that of plugin 'kh_cli'"),
            ("engines", "register('onnx', print)", "engine 'onnx' is that of plugin 'kh_zoo'"),
            ("engines", "register('sepia', print)", "engine 'sepia' is that of plugin 'darkroom'"),
            ("readers", "register('.JPG', print)", "suffix '.jpg' is that of plugin 'kh_zoo'"),
            ("readers", "register('.npy', print)", "suffix '.npy' is that of plugin 'darkroom'"),
            ("variants", "register(variant('full'))", "variant 'full' is that of plugin 'kh_zoo'"),
            ("variants", "register(variant('comics'))", "'comics' is that of plugin 'darkroom'"),
            ("engines", "[register('two', print) for _ in 'ab']", "'two' is registered twice"),
            ("engines", "register('Two words', print)", "Received: 'Two words'"),
            ("engines", "register('two', None)", "should be callable. Received: None"),
            ("engines", "register('two')", "TypeError"),
            ("readers", "register('npz', print)", "such as '.npy'. Received: 'npz'"),
            ("variants", "register('full')", "should be a Variant. Received: 'full'"),
            ("variants", "register(variant('scans-1-2'))", "Received: 'scans-1-2'"),
            ("variants", "kh_zoo.find_variant('full')", "should not ask for what"),
            ("engines", "kh_zoo.plugins.registry.plugins().engines", "should not ask for what"),
            ("commands", "app.command()(unparsable)", "NameError"),
            ("commands", "app.callback()(print_it)", "`app.callback` is that of `kh`"),
        ],
    )  # fmt: skip
    def test_what_cannot_be_taken(self, example, install, hook, code, message):
        module = (
            "import typer, kh_zoo, kh_zoo.plugins.registry\n"
            "def print_it(): print('it')\n"
            "def unparsable(x: 'Missing'): ...\n"
            "def variant(name):\n"
            "    from kh_zoo.catalog.records import Variant\n"
            "    return Variant(**{**dict.fromkeys(Variant.__dataclass_fields__), 'name': name})\n"
            "group = typer.Typer()\ngroup.command()(print_it)\n"
            f"@hookimpl\ndef register_{hook}({'app' if hook == 'commands' else 'register'}):\n"
            f"    {code}\n"
        )
        path = [example, install(module, "zebra")]
        result = kh("plugins", "--json", path=path)
        line = failure(result, "zebra")
        assert message in line
        assert f"register_{hook}: " in line
        states = {r["name"]: r["state"] for r in map(json.loads, result.stdout.splitlines())}
        assert (states["darkroom"], states["zebra"]) == ("loaded", "failed")

    def test_one_hook_that_fails_leaves_the_others(self, install):
        code = WORKS + "@hookimpl\ndef register_engines(register): register('onnx', print)\n"
        result = kh("works", path=[install(code)])
        assert (result.stdout, result.stderr) == ("works\n", "")  # engines are not asked for
        assert "'onnx'" in failure(kh("plugins", path=[install(code, distribution="again")]))

    def test_two_of_one_name(self, install):
        path = [install(WORKS, "works", distribution=name) for name in ("kh-one", "kh-two")]
        result = kh("works", path=path)
        assert result.stdout == "works\n"
        [line] = result.stderr.splitlines()
        assert "plugin 'works' failed: another plugin has that name (KH_PLUGINS=-kh-" in line
        name = line.split("KH_PLUGINS=-")[1].split()[0]
        result = kh("works", path=path, KH_PLUGINS=f"-{name}")
        assert (result.stdout, result.stderr) == ("works\n", "")

    @pytest.mark.parametrize("name", ["kh_cli", "kh_zoo"])
    def test_the_name_of_a_built_in_one(self, install, name):
        result = kh("list", path=[install(WORKS, name)])
        assert result.returncode == 0
        assert f"plugin '{name}' failed: another plugin has that name" in result.stderr
        assert "relu1to5" in result.stdout

    def test_its_traceback_is_there_for_the_asking(self, install):
        result = kh("--help", path=[install("raise ValueError('oops')")], KH_DEBUG="1")
        assert result.returncode == 0
        assert "Traceback" in result.stderr
        assert "module_of_broken.py" in result.stderr

    def test_completion_is_not_disturbed(self, install):
        result = kh(
            path=[install("raise ValueError('oops')")],
            _KH_COMPLETE="complete_bash", COMP_WORDS="kh col", COMP_CWORD="1",
        )  # fmt: skip
        assert (result.stdout.split(), result.stderr) == (["colorize"], "")

    def test_warnings_that_are_errors_do_not_stop_it(self, install):
        path = [install("raise ValueError('oops')")]
        failure(kh("--help", path=path, PYTHONWARNINGS="error::UserWarning"))


USED = """
class Wrong:
    def predict_ab(self, lightness): raise KeyError("oops")

def missing(folder, head, device): import a_package_of_none

def read(path):
    import numpy as np
    return {"raises": lambda: 1 / 0, "float": lambda: np.ones((9, 9)), "none": lambda: None,
            "flat": lambda: np.ones(9, "u1"), "many": lambda: np.ones((9, 9, 5), "u1"),
            "empty": lambda: np.ones((0, 9), "u1"), "vips": vips}[path.stem]()

def vips():
    import pyvips
    return pyvips.Image.black(40, 30).copy(interpretation="b-w")

@hookimpl
def register_engines(register):
    register("wrong", lambda folder, head, device: Wrong())
    register("missing", missing)

@hookimpl
def register_readers(register): register(".x", read)

@hookimpl
def register_commands(app):
    @app.command()
    def crash(): raise KeyError("oops")
    import typer
    group = typer.Typer(help="A group.")
    @group.command()
    def one(number: int = 1): print(number)
    @group.command()
    def two(): ...
    app.add_typer(group, name="group")
"""


class TestUse:
    @pytest.fixture
    def path(self, install):
        return [install(USED, "used")]

    def test_groups_of_commands(self, path):
        assert "group     A group." in kh("--help", path=path).stdout
        assert kh("group", "one", "--number", "3", path=path).stdout == "3\n"
        result = kh("group", "one", "--number", "x", path=path)
        assert result.returncode == 2
        assert result.stderr.startswith("Usage: kh group one")

    def test_a_bug_is_laid_at_its_door(self, tmp_path, path, gray):
        Image.fromarray(gray).save(tmp_path / "a.png")
        result = kh("crash", path=path)
        assert result.returncode == 1
        assert "a bug in plugin 'used'" in result.stderr
        result = kh("colorize", "a.png", "--engine", "wrong", "-q", path=path, cwd=tmp_path)
        assert result.returncode == 1
        assert "a bug in plugin 'used'" in result.stderr

    def test_engines_that_are_not_there(self, tmp_path, path, gray):
        Image.fromarray(gray).save(tmp_path / "a.png")
        result = kh("colorize", "a.png", "--engine", "missing", path=path, cwd=tmp_path)
        assert result.returncode == 2
        assert "`--engine` 'missing' can't be used: No module named" in result.stderr
        result = kh("colorize", "a.png", "--engine", "wring", path=path, cwd=tmp_path)
        assert result.returncode == 2
        assert result.stderr == (
            "Error: `--engine` should be one of 'onnx', 'keras', 'wrong', 'missing'. "
            "Did you mean 'wrong'? Received: 'wring'\n"
        )

    def test_pictures_that_cannot_be_read(self, tmp_path, path):
        reasons = {
            "raises": "plugin 'used' can't read it (ZeroDivisionError: division by zero)",
            "float": "plugin 'used' gives an array of float64 (9, 9), where uint8 or uint16",
            "none": "plugin 'used' gives an array of object ()",
            "flat": "plugin 'used' gives an array of uint8 (9,)",
            "many": "plugin 'used' gives an array of uint8 (9, 9, 5)",
            "empty": "plugin 'used' gives an array of uint8 (0, 9)",
        }
        for name in [*reasons, "vips"]:
            (tmp_path / f"{name}.x").write_text("x")
        result = kh("colorize", ".", "-o", "out", "-q", path=path, cwd=tmp_path)
        assert result.returncode == 1
        assert result.stdout == "out/vips.png\n"
        lines = dict(line.split(".x: ") for line in result.stderr.splitlines())
        assert lines.keys() == reasons.keys()
        for name, reason in reasons.items():
            assert lines[name].startswith(reason)


class TestSelection:
    @pytest.mark.parametrize(
        ("setting", "loaded"),
        [
            (None, "abc"),
            ("", ""),
            (" , ", ""),
            ("a", "a"),
            ("a, c", "ac"),
            ("-a", "bc"),
            (" -a , -c", "b"),
            ("a,b,-b", "a"),
            ("kh-a,kh-B", "ab"),
            ("-KH_A", "bc"),
            ("a,b,c", "abc"),
        ],
    )
    def test_some_are_taken(self, install, own_commands, setting, loaded):
        path = [install(WORKS.replace("works", name), name) for name in "abc"]
        environment = {} if setting is None else {"KH_PLUGINS": setting}
        result = kh("plugins", "--json", path=path, **environment)
        assert result.stderr == ""
        found = {r["name"]: r["state"] for r in map(json.loads, result.stdout.splitlines())}
        states = {name: "loaded" if name in loaded else "disabled" for name in "abc"}
        assert found == {"kh_cli": "built in", "kh_zoo": "built in", **states}
        listed = commands(kh("--help", path=path, **environment))
        assert listed == [*own_commands, *loaded]

    def test_what_is_left_out_is_not_imported(self, install):
        result = kh("list", path=[install("raise ValueError('oops')")], KH_PLUGINS="")
        assert (result.returncode, result.stderr) == (0, "")

    def test_a_name_of_none_is_told(self, install):
        path = [install(WORKS, name) for name in ("scanner", "comics")]
        result = kh("--version", path=path, KH_PLUGINS="scaner,comics")
        assert result.returncode == 0
        assert result.stderr == (
            "Warning: `KH_PLUGINS` should name installed plugins: 'comics', 'scanner'. "
            "Did you mean 'scanner'? Received: 'scaner'\n"
        )
        result = kh("list", KH_PLUGINS="-gone")
        assert result.returncode == 0
        assert "there is none. Received: 'gone'" in result.stderr


def test_what_is_written_is_read():
    assert set(SUFFIXES) <= set(READ)


def test_the_page_shows_the_example():
    page = (EXAMPLE.parent.parent / "docs" / "plugins.md").read_text()
    project = (EXAMPLE / "pyproject.toml").read_text()
    module = (EXAMPLE / "kh_darkroom.py").read_text()
    blocks = re.findall(r"^```(toml|python)\n(.*?)^```$", page, re.M | re.S)
    shown = [text for language, text in blocks if language == "toml" or "@hookimpl" in text]
    assert len(shown) == 5
    for text in shown:
        assert text in project + module
    # All of the module but its docstring.
    assert "\n\n".join(shown[1:]).split() == module.split('"""', 2)[2].split()
