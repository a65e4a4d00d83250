"""Surface normals from one picture: trained dense, run projected.

Two 1x1 convolutions on a hypercolumn tell for every pixel which way the surface faces. Only the
first of them reads the hypercolumn, and it is linear before its ReLU: `project` moves that one
below the upsampling, and leaves the rest as it is.

The pictures are made here: spheres of any grey before a wall, lit from the upper left. How bright
a pixel is leaves open which way it faces. Run it with `python examples/normals.py`.
"""

import keras
import numpy as np

from keras_hypercolumns import HyperColumn, pick_taps, project

SIZE = 48
LIGHT = np.array([-0.5, -0.5, 0.7]) / np.sqrt(0.99)
TAPS = ("block1", "block2", "block3")


def make_pictures(count, random):
    """Pictures in 0..1, and the unit normal (x, y, z) of every pixel; the wall's is (0, 0, 1)."""
    normals = np.zeros((count, SIZE, SIZE, 3), "float32")
    normals[..., 2] = 1
    grey = np.ones((count, SIZE, SIZE)) * random.uniform(0.4, 1, (count, 1, 1))
    for normal, albedo in zip(normals, grey, strict=True):
        for radius in random.uniform(6, 16, 3):
            place = random.uniform(0, SIZE, (2, 1, 1))
            y, x = (np.mgrid[:SIZE, :SIZE] - place) / radius
            inside = x**2 + y**2 < 1
            z = np.sqrt(1 - x[inside] ** 2 - y[inside] ** 2)
            normal[inside] = np.stack([x[inside], y[inside], z], axis=-1)
            albedo[inside] = random.uniform(0.4, 1)
    shading = np.maximum(normals @ LIGHT, 0) * grey
    return shading[..., None].astype("float32"), normals


def build_model():
    x = picture = keras.Input((None, None, 1), name="picture")
    for tap, filters in zip(TAPS, (16, 32, 64), strict=True):
        settings = {"padding": "same", "activation": "relu", "kernel_initializer": "he_normal"}
        x = keras.layers.Conv2D(filters, 3, **settings)(x)
        x = keras.layers.Conv2D(filters, 3, **settings, name=tap)(x)
        x = keras.layers.MaxPooling2D()(x)
    extractor, column = pick_taps(keras.Model(picture, x), TAPS)
    x = HyperColumn(**column)(extractor.output)
    x = keras.layers.Conv2D(32, 1, activation="relu", name="hidden")(x)
    x = keras.layers.Conv2D(3, 1, name="normal")(x)
    return keras.Model(picture, keras.layers.UnitNormalization(name="unit")(x))


def degrees(found, expected):
    """Mean angle between two maps of unit normals."""
    return np.degrees(np.arccos(np.clip(np.sum(found * expected, axis=-1), -1, 1))).mean()


def main(steps=200, seed=0):
    """Train for a number of steps, a multiple of ten, and print what came of it."""
    random = np.random.default_rng(seed)
    keras.utils.set_random_seed(seed)
    model = build_model()
    model.compile(optimizer=keras.optimizers.Adam(2e-3), loss=keras.losses.CosineSimilarity())
    pictures, normals = make_pictures(16 * (steps // 10), random)
    losses = model.fit(pictures, normals, batch_size=16, epochs=10, verbose=0).history["loss"]
    print(f"Minus the cosine of the error: {losses[0]:.3f}, then {losses[-1]:.3f}")

    twin = project(model)  # `hidden` is now a HyperColumnProjection
    pictures, normals = make_pictures(32, random)
    found = twin.predict(pictures, verbose=0)
    error, wall = degrees(found, normals), degrees(np.array([0, 0, 1]), normals)
    print(f"Mean error on new pictures: {error:.1f} degrees ({wall:.1f} if all were wall)")
    difference = np.abs(found - model.predict(pictures, verbose=0)).max()
    print(f"Between the twin and what was trained, at most {difference:.1e}")
    return {"losses": losses, "error": error, "wall": wall, "model": model, "twin": twin}


if __name__ == "__main__":
    main()
