"""The annealed mean against its formula, and its limits."""

import keras
import numpy as np
import pytest

from keras_hypercolumns import AnnealedMean
from keras_hypercolumns.colors.ab_bins import ab_bins


def test_is_the_formula_of_the_paper(random):
    logits = random.normal(size=(2, 3, 4, 313)).astype("float32")
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    # Equation 5 of the paper: the distribution to the power of 1 / T, and its mean.
    annealed = np.exp(np.log(probabilities) / 0.38)
    annealed /= annealed.sum(axis=-1, keepdims=True)
    expected = np.einsum("bhwq,qc->bhwc", annealed, ab_bins())
    found = keras.ops.convert_to_numpy(AnnealedMean()(logits))
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_goes_from_the_mean_to_the_mode(random):
    scores = random.normal(size=(10, 313)).astype("float32")
    cold = keras.ops.convert_to_numpy(AnnealedMean(1e-4)(scores))
    np.testing.assert_allclose(cold, ab_bins()[scores.argmax(axis=1)], atol=1e-2)
    hot = keras.ops.convert_to_numpy(AnnealedMean(1e6)(scores))
    np.testing.assert_allclose(hot, np.tile(ab_bins().mean(axis=0), (10, 1)), atol=1e-2)


def test_survives_saving_with_other_bins(tmp_path):
    scores = keras.Input((None, None, 313))
    model = keras.Model(scores, AnnealedMean(0.5, name="mean")(scores))
    # Bins are weights, so that a file with others stays right.
    model.get_layer("mean").set_weights([ab_bins()[::-1].copy()])
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    x = np.random.default_rng(1).normal(size=(1, 2, 2, 313)).astype("float32")
    np.testing.assert_allclose(again(x), model(x), atol=1e-5)
    assert again.get_layer("mean").temperature == 0.5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AnnealedMean(0), r"`temperature` should be above 0. Received: 0"),
        (
            lambda: AnnealedMean()(np.zeros((1, 12), "float32")),
            r"a score for each of the 313 bins.*Received: shape \(1, 12\)",
        ),
    ],
)
def test_wrong_uses_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
