"""The loss of the joint training, against the potential whose gradient it should follow."""

import keras
import numpy as np
import pytest
from keras import ops
from PIL import Image

from keras_hypercolumns import joint_colorizer, srgb_to_lab
from keras_hypercolumns.colors.ab_bins import ab_bins, rebalancing, soft_encoding
from keras_hypercolumns.training.data.picture_dataset import PictureDataset
from keras_hypercolumns.training.joint_trainer import JointTrainer
from keras_hypercolumns.training.optimizer import TrunkAdamW

RATE = 1.0


@pytest.fixture
def pictures(random):
    # One nearly grey, one colourful: their errors differ by far.
    gray = random.integers(100, 104, (32, 32, 3))
    return np.stack([gray, random.integers(0, 256, (32, 32, 3))]).astype("uint8")


@pytest.mark.parametrize(
    ("weighting", "potential"),
    [
        (0.0, lambda error: error / 50**2),
        (0.5, lambda error: 2 * np.sqrt(error + 20) / 50),
        ("root", lambda error: np.sqrt(error / 50**2 + 0.01)),
    ],
)
def test_a_step_follows_the_mean_over_pictures_of_a_power_of_their_errors(
    pictures, weighting, potential
):
    colorizer = joint_colorizer(("pool1to4",))
    head = colorizer.get_layer("head_pool1to4")
    unit = colorizer.get_layer("ab_pool1to4").scale
    kernel, _ = head.get_weights()
    # From the middle, where gray is right for one picture and wrong for the other.
    head.set_weights([np.zeros_like(kernel), np.array([0.1, -0.1], "float32")])
    ab = ops.convert_to_numpy(srgb_to_lab(pictures.astype("float32") / 255))[..., 1:]

    def loss(bias):
        return np.mean(potential(np.mean((unit * bias - ab) ** 2, axis=(1, 2, 3))))

    root = weighting == "root"
    trainer = JointTrainer(colorizer, 0.0 if root else weighting, "root" if root else "squared")
    colorizer.get_layer("trunk").trainable = False
    trainer.compile(keras.optimizers.SGD(RATE))
    trainer.fit(pictures, batch_size=2, verbose=0)
    before, step = np.array([0.1, -0.1]), 1e-4
    gradient = [
        (loss(before + step * unit) - loss(before - step * unit)) / (2 * step) for unit in np.eye(2)
    ]
    moved = (head.get_weights()[1] - before) / -RATE
    np.testing.assert_allclose(moved, gradient, rtol=1e-3)


@pytest.fixture
def vivid(random):
    """A network with a vivid head whose scores differ from cell to cell."""
    colorizer = joint_colorizer(("pool1to4",), vivid=("pool1to4",))
    head = colorizer.get_layer("head_pool1to4-vivid")
    head.set_weights([random.normal(0, 1, weight.shape) for weight in head.get_weights()])
    return colorizer


def cells_of(pictures):
    """The mean colours of 4 x 4 pixels, rounded to the middle of cells of 2 units."""
    ab = ops.convert_to_numpy(srgb_to_lab(pictures.astype("float32") / 255))[..., 1:]
    means = ab.reshape(len(ab), 8, 4, 8, 4, 2).mean(axis=(2, 4)).reshape(-1, 2)
    return np.floor(means / 2) * 2 + 1


def test_vivid_heads_are_trained_by_the_cross_entropy_of_their_cells(vivid, pictures, random):
    trainer = JointTrainer(vivid, vivid_loss=0.25)
    trainer.compile(keras.optimizers.SGD(0.0))
    weights = random.uniform(0.5, 2, 313).astype("float32")
    trainer.bin_weights.assign(weights)
    plain = JointTrainer(joint_colorizer(("pool1to4",)))
    plain.colorizer.get_layer("trunk").set_weights(vivid.get_layer("trunk").get_weights())
    head = vivid.get_layer("head_pool1to4").get_weights()
    plain.colorizer.get_layer("head_pool1to4").set_weights(head)
    plain.compile(keras.optimizers.SGD(0.0))
    logs = trainer.fit(pictures, batch_size=2, verbose=0).history

    scores = keras.Model(vivid.input, vivid.get_layer("head_pool1to4-vivid").output)
    lab = srgb_to_lab(pictures.astype("float32") / 255)
    scores = ops.convert_to_numpy(scores(lab[..., :1])).reshape(-1, 313).astype("float64")
    chances = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    nearest, shares = soft_encoding(cells_of(pictures), ab_bins())
    entropy = -(shares * np.take_along_axis(chances, nearest, axis=1)).sum(axis=1)
    expected = np.mean(weights[nearest[:, 0]] * entropy)
    assert logs["cross_entropy"][0] == pytest.approx(expected, rel=1e-3)
    # Its own A and B have no part in the rest of the loss.
    rest = plain.fit(pictures, batch_size=2, verbose=0).history["loss"][0]
    assert logs["loss"][0] == pytest.approx(rest + 0.25 * expected, rel=1e-3)
    # Scores are for training only.
    assert set(trainer(pictures)) == {"pool1to4", "pool1to4-vivid", "truth"}


def test_cells_count_by_how_rare_their_colours_are(vivid, tmp_path, random):
    patches = random.integers(0, 256, (8, 8, 3), "uint8").repeat(4, axis=0).repeat(4, axis=1)
    Image.fromarray(patches).save(tmp_path / "0.png")
    batches = PictureDataset({".": [tmp_path / "0.png"]}, {".": 1}, 32, 0, 0, 3)
    trainer = JointTrainer(vivid, vivid_loss=1.0)
    trainer.rebalance(batches, 0.5)
    nearest, _ = soft_encoding(cells_of(patches[None]), ab_bins())
    expected = rebalancing(np.bincount(nearest[:, 0], minlength=313) / 64, ab_bins(), 0.5)
    np.testing.assert_allclose(ops.convert_to_numpy(trainer.bin_weights), expected, rtol=1e-5)


def small_model():
    layers = [keras.layers.Dense(3, name="trunk"), keras.layers.Dense(2, name="head")]
    model = keras.Sequential([keras.Input((4,)), *layers])
    return model, [layer.kernel for layer in layers]


def test_the_trunk_moves_slower_and_decays_slower(random):
    """Adam's steps are as long as the rate; so is what decays of a weight."""
    x, y = random.normal(size=(8, 4)), random.normal(size=(8, 2))
    model, kernels = small_model()
    before = [ops.convert_to_numpy(kernel).copy() for kernel in kernels]
    moved = {}
    for decay in (0.0, 10.0):
        model.set_weights([*before[:1], np.zeros(3), *before[1:], np.zeros(2)])
        slow = model.get_layer("trunk").trainable_variables
        optimizer = TrunkAdamW(slow, 0.1, learning_rate=1e-3, weight_decay=decay)
        optimizer.exclude_from_weight_decay(var_names=["bias"])
        model.compile(optimizer, "mse")
        model.fit(x, y, batch_size=8, verbose=0)
        after = [ops.convert_to_numpy(kernel).copy() for kernel in kernels]
        moved[decay] = [now - then for now, then in zip(after, before, strict=True)]
    for steps, rate in zip(moved[0.0], (1e-4, 1e-3), strict=True):
        np.testing.assert_allclose(np.abs(steps), rate, rtol=1e-2)
    for i, rate in enumerate((1e-4, 1e-3)):
        decayed = moved[10.0][i] - moved[0.0][i]
        np.testing.assert_allclose(decayed, -10 * rate * before[i], atol=rate * 0.02)


def test_weights_are_averaged_and_the_training_goes_on_without(random):
    x, y = random.normal(size=(40, 4)), random.normal(size=(40, 2))
    model, kernels = small_model()
    optimizer = TrunkAdamW(memory=0.8, learning_rate=0.05, weight_decay=0.0)
    model.compile(optimizer, "mse")
    average = [0, 0]
    for step in range(40):
        model.fit(x[step : step + 1], y[step : step + 1], verbose=0)
        memory = min(0.8, step / (9 + step))
        now = [ops.convert_to_numpy(kernel).copy() for kernel in kernels]
        average = [memory * a + (1 - memory) * k for a, k in zip(average, now, strict=True)]
    with optimizer.averaged():
        for kernel, expected in zip(kernels, average, strict=True):
            np.testing.assert_allclose(ops.convert_to_numpy(kernel), expected, atol=1e-5)
    for kernel, expected in zip(kernels, now, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(kernel), expected)
    optimizer.keep_averages()
    np.testing.assert_allclose(ops.convert_to_numpy(kernels[0]), average[0], atol=1e-5)
    assert np.abs(average[0] - now[0]).max() > 1e-3
