"""Recipes: what a TOML file has to say, and what is said when it does not."""

import dataclasses
import json

import pytest

from keras_hypercolumns import VARIANTS
from keras_hypercolumns.training.data.augmentation import NONE
from keras_hypercolumns.training.recipe import FOLDER, Stage, read_recipe, recipe_from_table

SMALLEST = """
seed = 1
variants = ["full"]
[[stages]]
size = 32
steps = 4
batch = { flowers = 2, "." = 1 }
"""


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "mine.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize("name", sorted(file.stem for file in FOLDER.glob("*.toml")))
def test_own_recipes_are_read_by_name(name):
    recipe = read_recipe(name)
    assert set(recipe.variants) <= {*VARIANTS, "lite"}
    assert recipe.steps == sum(stage.steps for stage in recipe.stages)
    # One of no steps fits the heads alone.
    heads = recipe.head_pictures or recipe.vivid
    assert recipe.steps > recipe.warmup_steps or (recipe.steps == 0 and heads)
    for stage in recipe.stages:
        assert stage.size % 16 == 0
        assert sum(stage.batch.values()) > 0


def test_there_is_a_small_recipe_and_a_best_one():
    assert {"small.toml", "best.toml"} <= {file.name for file in FOLDER.iterdir()}


def test_what_a_file_leaves_out_has_defaults(write):
    recipe = read_recipe(write(SMALLEST))
    assert recipe.seed == 1
    assert recipe.variants == ("full",)
    assert recipe.stages == (Stage(size=32, steps=4, batch={"flowers": 2, ".": 1}),)
    assert (recipe.pooling, recipe.batch_norm, recipe.learning_rate) == ("", True, 1e-3)


def test_a_whole_number_will_do_for_a_float(write):
    recipe = read_recipe(write("learning_rate = 1\n" + SMALLEST))
    assert type(recipe.learning_rate) is float


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sed = 1", r"`key of mine.toml` .*Did you mean 'seed'\? Received: 'sed'"),
        ("seed = 1", r"`mine.toml` should set variants, stages. Received: \['seed'\]"),
        (SMALLEST.replace("seed = 1", "seed = 1.5"), "`seed of mine.toml` .*int.*Received: 1.5"),
        (SMALLEST.replace("seed = 1", "seed = true"), "`seed of mine.toml` .* Received: True"),
        (SMALLEST.replace('["full"]', '"full"'), "`variants of mine.toml` .* Received: 'full'"),
        (SMALLEST.replace('["full"]', "[]"), r"`variants of mine.toml` .* Received: \[\]"),
        (SMALLEST.replace("steps", "stepz"), "Did you mean 'steps'.* Received: 'stepz'"),
        (SMALLEST.replace("= 2", "= 'two'"), "`batch of stages of mine.toml` .*'two'"),
        ("seed =", "`recipe` should be a readable TOML file"),
        (
            "optimizer = 'adan'\n" + SMALLEST,
            r"`optimizer of mine.toml` .*'adamw', 'adam'\. Did you mean .* Received: 'adan'",
        ),
        ("schedule = ['cosine']\n" + SMALLEST, r"`schedule of .*'constant'.*\['cosine'\]"),
        ("first_convolution = 'mean'\n" + SMALLEST, "'sum', 'new'.* Received: 'mean'"),
        ("pooling = 'avarage'\n" + SMALLEST, "Did you mean 'average'.* Received: 'avarage'"),
        ("loss = 'rood'\n" + SMALLEST, "'squared', 'root'.* Received: 'rood'"),
        ("aged = 1.5\n" + SMALLEST, "`aged of mine.toml` should be from 0 to 1.*: 1.5"),
        ("ema = -1\n" + SMALLEST, "`ema of mine.toml` should be from 0 to 1.*: -1"),
        ("optimizer = 'adam'\nema = 0.9\n" + SMALLEST, "should be 'adamw', for a .* `ema`"),
    ],
)
def test_a_recipe_that_means_nothing_is_refused(write, text, message):
    with pytest.raises(ValueError, match=message):
        read_recipe(write(text))


def test_a_recipe_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"should be a readable TOML file.*nowhere\.toml"):
        read_recipe(tmp_path / "nowhere.toml")
    with pytest.raises(
        ValueError,
        match=r"`recipe` should be a file ending \.toml, or one of 'best', 'continue', 'head', "
        r"'lite-head', 'lite-tune', 'lite', 'seed', 'small', 'tune', 'vivid'\. "
        r"Did you mean 'small'\? Received: 'smal'$",
    ):
        read_recipe("smal")


def test_the_seed_recipe_is_the_founding_codes():
    recipe = read_recipe("seed")
    [stage] = recipe.stages
    assert (stage.size, stage.batch) == (128, {".": 10})
    assert (recipe.init, recipe.first_convolution) == ("imagenet", "new")
    assert (recipe.pooling, recipe.batch_norm) == ("average", False)
    assert (recipe.optimizer, recipe.learning_rate) == ("adam", 1e-4)
    assert (recipe.schedule, recipe.warmup_steps) == ("constant", 0)
    assert recipe.clip_norm == 0
    assert recipe.head_pictures == 0


def test_what_is_left_out_leaves_the_training_as_it_was():
    """The keys that came with `lite`, in a recipe that has none of them."""
    recipe = read_recipe("best")
    assert (recipe.loss, recipe.vivid_loss, recipe.joint_vivid) == ("squared", 0, ())
    assert (recipe.trunk_rate, recipe.final_rate, recipe.beta_2, recipe.ema) == (1, 0, 0.999, 0)
    assert recipe.augmentation == NONE
    assert not NONE.changes_lightness
    assert NONE.least_side(96) == 96


def test_pictures_that_are_enlarged_need_not_have_the_size():
    recipe = read_recipe("lite")
    assert recipe.joint_vivid == ("lite",)
    assert recipe.augmentation.least_side(128) <= 112


@pytest.mark.parametrize("name", ["best", "lite", "seed"])
def test_a_recipe_survives_json_also_one_of_an_older_release(name):
    recipe = read_recipe(name)
    table = json.loads(json.dumps(dataclasses.asdict(recipe)))
    assert recipe_from_table(table, "recipe.json") == recipe
    for key in ("init", "first_convolution", "optimizer", "schedule", "trunk_rate", "ema"):
        del table[key]
    older = recipe_from_table(table, "recipe.json")
    assert (older.init, older.optimizer, older.schedule) == ("random", "adamw", "cosine")
    assert older.stages == recipe.stages
