"""Packages and their rooms, one direction: cli -> zoo -> keras_hypercolumns, never back."""

import ast
import collections
import graphlib
import importlib.metadata
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
FRAMEWORKS = {"tensorflow", "jax", "torch"}
PACKAGES = ("keras_hypercolumns", "kh_zoo", "kh_cli")
"""Each may import those before it."""
ROOMS = {
    "keras_hypercolumns": (
        "choices colors layers graphs backbones colorizers training.data training.heads "
        "training.study training"
    ),
    "kh_zoo": (
        "shown errors extras nearest files forked memory telemetry chatter hookspecs colors "
        "networks plugins pictures engines hub catalog with_keras colorizer picture web measuring "
        "publishing workers runners batches films page built_in"
    ),
    "kh_cli": "output options films commands built_in app main",
}
"""The rooms of each package: folders, and the modules beside them. Each may import those before it;
the package itself, what its users import, stands above all."""
MOST = 12
"""Modules in a folder."""


def modules(package):
    folder = Path(importlib.util.find_spec(package).submodule_search_locations[0])
    return {
        ".".join((package, *path.relative_to(folder).with_suffix("").parts)).removesuffix(
            ".__init__"
        ): path
        for path in sorted(folder.rglob("*.py"))
    }


MODULES = {name: path for package in PACKAGES for name, path in modules(package).items()}


def statements(node):
    """All of a tree, but what is only there for a type checker."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield child
        yield from statements(child)


def imported(path):
    """Names of the modules that a module imports, wherever in it."""
    names = set()
    for node in statements(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            names |= {name if name in MODULES else node.module for name in whole}
    return names


GRAPH = {name: imported(path) - {name} for name, path in MODULES.items()}


def floor(module):
    """Where in the order of its package a module stands."""
    package, _, rest = module.partition(".")
    rooms = ROOMS[package].split()
    found = [room for room in rooms if rest == room or rest.startswith(room + ".")]
    return rooms.index(max(found, key=len)) if found else len(rooms)


def test_every_module_stands_in_a_room():
    nowhere = {name for name in MODULES if floor(name) == len(ROOMS[name.split(".")[0]].split())}
    assert nowhere == set(PACKAGES)
    there = {(name.split(".")[0], floor(name)) for name in MODULES}
    listed = {(name, i) for name, rooms in ROOMS.items() for i in range(len(rooms.split()))}
    assert listed <= there, "a room is listed that isn't there"


def test_arrows_go_in_one_direction():
    up = {
        f"{name} -> {other}"
        for name, others in GRAPH.items()
        for other in others & MODULES.keys()
        if (PACKAGES.index(other.split(".")[0]), floor(other))
        > (PACKAGES.index(name.split(".")[0]), floor(name))
    }
    assert up == set()


def test_no_circle_of_imports():
    """Also not of imports inside of functions. Such a graph can be sorted."""
    order = graphlib.TopologicalSorter({name: GRAPH[name] & MODULES.keys() for name in GRAPH})
    assert set(order.static_order()) == MODULES.keys()


def test_no_module_imports_a_framework():
    found = {
        name: names
        for name, others in GRAPH.items()
        if (names := {other.split(".")[0] for other in others} & FRAMEWORKS)
    }
    # The maintainers' way to EfficientNet's weights, a PyTorch file, see its extra.
    assert found.keys() <= {"keras_hypercolumns.backbones.efficientnet_lite_weights"}


def test_the_rooms_are_used_through_one_another():
    """What is found above is not empty because nothing is found at all."""
    assert "keras" in GRAPH["keras_hypercolumns.layers.hypercolumn"]
    assert "kh_zoo.colorizer" in GRAPH["kh_zoo.workers.settings"], "imported inside of a function"
    assert sum(len(others & MODULES.keys()) for others in GRAPH.values()) > 300


def test_benchmarks_import_what_there_is():
    """They are run by hand, long after what they use has moved."""
    missing = []
    for path in (TESTS.parent / "benchmarks").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGES):
                source = MODULES[node.module].read_text(encoding="utf-8")
                for name in (alias.name for alias in node.names):
                    if f"{node.module}.{name}" not in MODULES and name not in source:
                        missing.append(f"{path.name}: {node.module}.{name}")
    assert missing == []


def test_no_folder_has_more_modules_than_one_can_see():
    sizes = collections.Counter(path.parent for path in MODULES.values())
    crowded = {folder.name: n - 1 for folder, n in sizes.items() if n - 1 > MOST}
    assert crowded == {"commands": crowded.get("commands")}, "but a file for each command"


@pytest.mark.parametrize("package", PACKAGES)
def test_every_test_stands_where_its_module_stands(package):
    rooms = {str(path.parent.relative_to(TESTS)) for path in (TESTS / package).rglob("test_*.py")}
    assert {room.replace("/", ".") for room in rooms} <= MODULES.keys()


def test_importing_the_zoo_imports_no_keras():
    program = "import sys, kh_zoo; sys.exit('keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_completion_knows_the_names_that_are_not_imported_yet():
    program = "import kh_zoo; assert {*kh_zoo.__all__} <= {*dir(kh_zoo)}; print(kh_zoo.__version__)"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert result.stdout.strip() == importlib.metadata.version("keras-hypercolumns"), result.stderr


@pytest.mark.parametrize("backend", sorted(FRAMEWORKS))
def test_a_backend_that_is_not_installed_is_named_with_its_extra(backend):
    program = f"""if True:
        import sys

        class Absent:
            def find_spec(self, name, path=None, target=None):
                if name == {backend!r}:
                    raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

        sys.meta_path.insert(0, Absent())
        import keras_hypercolumns
    """
    result = subprocess.run(
        [sys.executable, "-c", program],
        env={"KERAS_BACKEND": backend, "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    message = result.stderr.strip().splitlines()[-1]
    assert message.startswith("ImportError: ")
    assert f"pip install 'keras-hypercolumns[{backend}]'" in message


def test_the_map_shows_the_rooms_in_their_order():
    text = (TESTS.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    tables = re.findall(r"\n\| `([\w/]+)/` \| \|\n\| --- \| --- \|\n((?:\|.*\n)+)", text)
    told = {
        folder.split("/")[-1]: re.findall(
            r"`(\w+)/?`", " ".join(re.findall(r"^\|(.*?)\|", rows, re.M))
        )
        for folder, rows in tables
    }
    for package, rooms in ROOMS.items():
        assert told[package] == list(dict.fromkeys(room.split(".")[0] for room in rooms.split()))
