"""The loss of the joint training, against the potential whose gradient it should follow."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_hypercolumns import joint_colorizer, srgb_to_lab
from keras_hypercolumns.training.joint_trainer import JointTrainer

RATE = 1.0


@pytest.fixture
def pictures(random):
    # One nearly grey, one colourful: their errors differ by far.
    gray = random.integers(100, 104, (32, 32, 3))
    return np.stack([gray, random.integers(0, 256, (32, 32, 3))]).astype("uint8")


@pytest.mark.parametrize(
    ("weighting", "potential"),
    [(0.0, lambda error: error / 50**2), (0.5, lambda error: 2 * np.sqrt(error + 20) / 50)],
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

    trainer = JointTrainer(colorizer, weighting)
    colorizer.get_layer("trunk").trainable = False
    trainer.compile(keras.optimizers.SGD(RATE))
    trainer.fit(pictures, batch_size=2, verbose=0)
    before, step = np.array([0.1, -0.1]), 1e-4
    gradient = [
        (loss(before + step * unit) - loss(before - step * unit)) / (2 * step) for unit in np.eye(2)
    ]
    moved = (head.get_weights()[1] - before) / -RATE
    np.testing.assert_allclose(moved, gradient, rtol=1e-3)
