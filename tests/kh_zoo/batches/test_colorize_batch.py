"""`colorize_batch`: what `kh colorize` does, called from Python."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from whole_process import kh

from kh_zoo import Colorizer, colorize_batch
from kh_zoo.batches.journal import Journal
from kh_zoo.batches.plan import PlanError
from kh_zoo.errors import OutputError, VariantError


@pytest.fixture
def scans(tmp_path, monkeypatch, random):
    monkeypatch.chdir(tmp_path)
    folder = Path("scans")
    folder.mkdir()
    for name in ("a.png", "b.png", "c.png"):
        Image.fromarray(random.integers(0, 256, (30, 40), "uint8")).save(folder / name)
    Path("scans/b.png").write_bytes(Path("scans/b.png").read_bytes()[:100])
    return folder


def said(outcomes):
    return {outcome.source.name: outcome.status for outcome in outcomes}


def test_the_files_are_those_of_the_command(scans, model):
    outcomes = colorize_batch(scans, output="out", model=model)
    assert said(outcomes) == {"a.png": "done", "b.png": "failed", "c.png": "done"}
    assert [outcome.source.name for outcome in outcomes] == ["a.png", "b.png", "c.png"]
    assert outcomes[0].target == Path("out/a.png")
    assert "damaged" in outcomes[1].reason
    assert kh("colorize", "scans", "-o", "of-kh", "-m", str(model)).returncode == 1
    for name in ("a.png", "c.png"):
        assert Path("out", name).read_bytes() == Path("of-kh", name).read_bytes()


def test_a_second_call_goes_on(scans, model):
    Path("scans/b.png").unlink()
    colorize_batch([scans / "a.png"], output="out", model=model, jobs=1)
    second = colorize_batch([scans], output="out", model=model, jobs=1)
    assert said(second) == {"a.png": "skipped", "c.png": "done"}
    third = colorize_batch(str(scans), output=Path("out"), model=str(model), saturation=2)
    assert set(said(third).values()) == {"done"}
    assert "saturation 1.0 before, 2 now" in third[0].reason
    wanted = Colorizer(model, saturation=2).colorize(scans / "a.png").numpy()
    np.testing.assert_array_equal(np.asarray(Image.open("out/a.png")), wanted)


def test_what_is_wrong_is_raised(scans, model):
    with pytest.raises(PlanError, match="which is there"):
        colorize_batch("scand")
    with pytest.raises(VariantError, match="lite"):
        colorize_batch(scans, model="lit")
    with pytest.raises(PlanError, match=r"`format` should be one of .* Received: 'gif'"):
        colorize_batch(scans, format="gif")
    Path("out").mkdir()
    with Journal(Path("out"), {}), pytest.raises(OutputError, match="another run is writing"):
        colorize_batch(scans, output="out", model=model)


@pytest.mark.parametrize("event", ["begin", "done"])
def test_a_journal_that_can_not_be_written_ends_the_batch(scans, model, monkeypatch, event):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Journal, event, full)
    outcomes = colorize_batch(scans, output="out", model=model, jobs=1)
    assert said(outcomes) == {"a.png": "failed"}
    assert outcomes[0].reason == "can't write its journal: No space left on device"
    assert outcomes[0].fatal


def test_no_guard_of_main_is_needed(scans, model):
    """Its processes don't import the caller's program, as those of multiprocessing would."""
    program = f"import kh_zoo; print(len(kh_zoo.colorize_batch('scans', model={str(model)!r})))"
    Path("mine.py").write_text(program, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "mine.py"], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.stdout, done.stderr) == ("3\n", "")
