"""The files of a run: on a full disk, after a kill, after damage."""

import errno
import hashlib
import json
import pathlib

import keras
import numpy as np
import pytest
from PIL import Image

from keras_hypercolumns import colorizer
from keras_hypercolumns.training.data.picture_dataset import check_colors
from keras_hypercolumns.training.joint_trainer import JointTrainer
from keras_hypercolumns.training.recipe import recipe_from_table
from keras_hypercolumns.training.run_files import (
    load_checkpoint,
    read_curves,
    read_state,
    save_checkpoint,
    write_json,
)
from keras_hypercolumns.training.train_jointly import train_jointly


def new_trainer(seed=0, width=4):
    keras.utils.set_random_seed(seed)
    picture = keras.Input((None, None, 1))
    x = keras.layers.Conv2D(width, 3, padding="same", name="tap_1")(picture)
    model = colorizer(["tap_1"], trunk=keras.Model(picture, x), head="hidden")
    trainer = JointTrainer(keras.Model(model.input, {"custom": model.output}))
    trainer.compile(keras.optimizers.Adam(1e-2))
    trainer(np.zeros((1, 16, 16, 3), "uint8"))
    trainer.optimizer.build(trainer.trainable_variables)
    return trainer


def values_of(trainer):
    variables = [*trainer.weights, *trainer.optimizer.variables]
    return [keras.ops.convert_to_numpy(one).copy() for one in variables]


@pytest.fixture(scope="module")
def trainer():
    trainer = new_trainer()
    rgb = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), "uint8")
    trainer.fit(rgb, verbose=0)
    return trainer


@pytest.fixture(scope="module")
def other():
    return new_trainer(seed=1)


@pytest.fixture
def run(trainer, tmp_path):
    save_checkpoint(tmp_path, trainer, {"step": 1}, trunk_input="gray")
    return tmp_path


def rows_of(run):
    return [json.loads(line) for line in (run / "curves.jsonl").read_text("utf-8").splitlines()]


def test_what_was_saved_is_loaded(trainer, other, run):
    state = read_state(run)
    assert (state["step"], state["trunk_input"]) == (1, "gray")
    load_checkpoint(run, other, state)
    for found, expected in zip(values_of(other), values_of(trainer), strict=True):
        np.testing.assert_array_equal(found, expected)


class FullDisk:
    """Lets so many calls that write through, then has no room; like a disk, it stays full."""

    def __init__(self, monkeypatch, calls):
        self.left = calls
        opened = pathlib.Path.open

        def open_file(path, mode="r", *args, **kwargs):
            file = opened(path, mode, *args, **kwargs)
            return _File(file, self) if "w" in mode else file

        monkeypatch.setattr(pathlib.Path, "open", open_file)
        monkeypatch.setattr("os.fsync", lambda descriptor: self.count())

    def count(self):
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.ENOSPC, "No space left on device")


class _File:
    def __init__(self, file, disk):
        self.file, self.disk = file, disk

    def __getattr__(self, name):
        return getattr(self.file, name)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()

    def write(self, content):
        self.disk.count()
        return self.file.write(content)

    def writelines(self, lines):
        for line in lines:
            self.write(line)


def test_a_disk_that_is_full_at_any_write_leaves_the_last_step(trainer, run, monkeypatch):
    """One write more succeeds each time, until all do."""
    faults = 0
    digest = read_state(run)["sha256"]
    while True:
        with monkeypatch.context() as patch:
            disk = FullDisk(patch, faults)
            try:
                save_checkpoint(run, trainer, {"step": 2}, trunk_input="gray")
            except OSError as error:
                assert "No space left on device" in str(error)  # noqa: PT017
                assert "the same command then goes on" in str(error)  # noqa: PT017
            else:
                break
        assert disk.left < 0
        state = read_state(run)
        assert state["step"] == 1
        assert hashlib.sha256((run / state["checkpoint"]).read_bytes()).hexdigest() == digest
        assert read_curves(run, state["step"]) == [{"step": 1}]
        assert not list(run.glob(".*"))
        faults += 1
    assert faults > 40  # arrays, their names, rows, syncs
    assert read_state(run)["step"] == 2
    assert rows_of(run) == [{"step": 1}, {"step": 2}]
    assert [path.name for path in run.glob("checkpoint-*")] == ["checkpoint-000002.npz"]


def test_a_row_belongs_to_its_checkpoint(trainer, run):
    """What a killed process wrote beyond the last checkpoint is written anew, and not twice."""
    with (run / "curves.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 2}\n{"step": 3, "lo')
    save_checkpoint(run, trainer, {"step": 2, "loss": 0.5})
    assert rows_of(run) == [{"step": 1}, {"step": 2, "loss": 0.5}]


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 64
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [cut, flip, pathlib.Path.unlink], ids=lambda one: one.__name__)
def test_a_damaged_checkpoint_is_told(run, other, damage):
    damage(run / "checkpoint-000001.npz")
    with pytest.raises(ValueError, match=r"`run` should be .* as they were written; .*Received: /"):
        load_checkpoint(run, other, read_state(run))


def test_one_of_another_network_is_told(run):
    with pytest.raises(ValueError, match="is of another network"):
        load_checkpoint(run, new_trainer(width=5), read_state(run))


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"step": "1"}', '{"step": 1, "checkpoint": "../x"}']
)
def test_a_state_that_says_nothing_is_told(run, text):
    (run / "state.json").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="`run` should be a new folder"):
        read_state(run)


TINY = {
    "seed": 1,
    "variants": ["relu1to3"],
    "stages": [{"size": 16, "steps": 1, "batch": {".": 1}}],
    "validation_size": 16,
    "head_size": 16,
    "head_pictures": 0,
}


@pytest.fixture
def grey(tmp_path):
    folder = tmp_path / "grey"
    folder.mkdir()
    random = np.random.default_rng(2)
    for number in range(40):
        # Some as three equal channels, with what JPEG leaves.
        page = Image.fromarray(random.integers(0, 256, (4, 4), "uint8")).resize((20, 24))
        page.convert("RGB" if number % 2 else "L").save(folder / f"{number}.jpg", quality=70)
    return folder


@pytest.mark.parametrize("steps", [0, 1])
def test_nothing_is_left_where_nothing_can_be_begun(grey, tmp_path, steps):
    stages = [{**TINY["stages"][0], "steps": steps}]
    recipe = recipe_from_table({**TINY, "stages": stages, "head_pictures": 1}, "tiny")
    (tmp_path / "empty").mkdir()
    for data, init, message in (
        (grey, None, "`data` should hold colour pictures"),
        (tmp_path / "empty", None, "`data` should hold train pictures of at least"),
    ):
        with pytest.raises(ValueError, match=message):
            train_jointly(recipe, [data], tmp_path / "run", init=init)
        assert not (tmp_path / "run").exists()


def test_one_colour_picture_among_grey_ones_is_enough(grey):
    Image.new("RGB", (20, 24), (90, 60, 60)).save(grey / "red.png")
    check_colors({".": sorted(grey.iterdir())})


def test_a_model_that_does_not_fit_leaves_nothing(tmp_path, pictures):
    def load(name):
        raise ValueError("there is none")

    recipe = recipe_from_table(TINY, "tiny")
    with pytest.raises(ValueError, match="`init` should be"):
        train_jointly(recipe, [pictures.folder], tmp_path / "run", init="mine", load_model=load)
    assert not (tmp_path / "run").exists()


def test_a_file_that_is_half_written_has_another_name(tmp_path, monkeypatch):
    write_json(tmp_path / "state.json", {"step": 1})
    FullDisk(monkeypatch, 0)
    with pytest.raises(OSError, match="can't be written"):
        write_json(tmp_path / "state.json", {"step": 2})
    assert json.loads((tmp_path / "state.json").read_text("utf-8")) == {"step": 1}
