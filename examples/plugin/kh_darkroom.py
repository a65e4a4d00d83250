"""A plugin for `kh` with one of each thing that a plugin can add."""

from pathlib import Path

from kh_zoo.hookspecs import hookimpl


@hookimpl
def register_commands(app):
    @app.command()
    def gray(source: Path):
        """Write a grey copy of a picture: photo.jpg becomes photo.gray.png."""
        from kh_zoo.picture import Picture

        lightness, _ = Picture(source).full()
        target = source.with_suffix(".gray.png")
        lab = lightness.bandjoin([0, 0]).copy(interpretation="lab")
        lab.colourspace("b-w").write_to_file(str(target))
        print(target)


class Sepia:
    """The same colour everywhere: what a model has to beat."""

    def predict_ab(self, lightness):
        import numpy as np

        return np.full((*lightness.shape, 2), (6, 20), "float32")


@hookimpl
def register_engines(register):
    register("sepia", lambda folder, head, device: Sepia())


def read_npy(path):
    import numpy as np

    return np.load(path, allow_pickle=False)


@hookimpl
def register_readers(register):
    register(".npy", read_npy)


@hookimpl
def register_variants(register):
    from kh_zoo.catalog import Variant

    register(
        Variant(
            name="comics",
            taps=("relu1_2",),
            channels=64,
            description="An example: put a model of your own in its folder",
            license="CC0-1.0",
            origin="`kh train` and `kh export`",
            training_data=("Comics of one author (CC0)",),
            size=64,
            parameters=37698,
            bytes=150_792,
            folder=Path.home() / "kh-models" / "comics",
        )
    )
