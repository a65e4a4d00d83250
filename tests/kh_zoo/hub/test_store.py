"""Pull, list, verify, rm and use of what is on the Hub, over HTTP; faults, kills, no network."""

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import constants
from PIL import Image
from small_models import model_files
from whole_process import KH, kh

from kh_zoo import Colorizer, load_model
from kh_zoo.catalog.find import find
from kh_zoo.errors import HubError, ModelError, VariantError
from kh_zoo.hub.store import find_stored, list_stored, pull, remove

CARD = b"---\nlicense: cc-by-4.0\n---\nEtchings.\n"

# What `kh` does where no socket can be opened.
WITHOUT_SOCKETS = """
    import socket, sys

    def refuse(*arguments, **keywords):
        raise SystemExit("a socket was opened")

    socket.socket.connect = socket.socket.bind = socket.getaddrinfo = refuse
    from kh_cli.main import main
    sys.argv[0] = "kh"
    main()
"""


def kh_without_sockets(*arguments, cwd=None, **environment):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(WITHOUT_SOCKETS), *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture
def files(tmp_path):
    return {**model_files(tmp_path / "made"), "README.md": CARD}


@pytest.fixture
def etchings(hub, files):
    """A repository of one small model, with files that `kh` does not need; its commit."""
    extra = {"model.weights.h5": b"h5", "metadata.json": b"{}", "model.onnx": b"graph"}
    return hub.put("ada/etchings", {**files, **extra}, tag="v1")


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photos" / "gray.png"
    path.parent.mkdir()
    Image.fromarray(np.arange(4096, dtype="uint8").reshape(64, 64)).save(path)
    return path


class TestPull:
    def test_what_is_fetched_and_said(self, hub, etchings, files):
        result = kh("pull", "ada/etchings")
        assert result.returncode == 0, result.stderr
        folder = Path(result.stdout.strip())
        assert {path.name for path in folder.iterdir()} == set(files)
        for name, content in files.items():
            assert (folder / name).read_bytes() == content
        assert f"ada/etchings at {etchings[:12]}: fetched, 0.2 MB" in result.stderr
        assert "licence: cc-by-4.0" in result.stderr

    def test_a_second_pull_uses_no_network(self, hub, etchings):
        assert kh("pull", "ada/etchings").returncode == 0
        hub.requests.clear()
        again = kh("pull", "hf://ada/etchings", "--json")
        assert json.loads(again.stdout)["reason"] == "already here"
        assert kh_without_sockets("pull", "ada/etchings").returncode == 0
        assert hub.requests == []

    def test_a_branch_that_moved_is_seen_when_it_is_asked_for(self, hub, etchings, tmp_path):
        old = pull("ada/etchings")
        new = hub.put("ada/etchings", model_files(tmp_path / "other", seed=1))
        assert pull("ada/etchings").commit == etchings == old.commit
        hub.fail("GET /blobs", "truncated")
        with pytest.raises(HubError, match="cut"):
            pull("ada/etchings", refresh=True)
        # Until the new one is whole, the old one is what there is.
        assert find_stored("ada/etchings") == old.path
        refreshed = pull("ada/etchings", refresh=True)
        assert (refreshed.commit, refreshed.fetched) == (new, True)
        assert find_stored("ada/etchings") == refreshed.path
        assert find_stored("ada/etchings", etchings) == old.path

    def test_tags_and_commits(self, hub, etchings, tmp_path):
        new = hub.put("ada/etchings", model_files(tmp_path / "other", seed=1))
        assert pull("ada/etchings", "v1").commit == etchings
        assert pull("ada/etchings", new).commit == new
        assert json.loads(kh("pull", "ada/etchings@v1", "--json").stdout)["commit"] == etchings
        option = kh("pull", "ada/etchings", "--revision", new, "--json")
        assert json.loads(option.stdout)["commit"] == new
        both = kh("pull", "ada/etchings@v1", "--revision", new)
        assert (both.returncode, both.stdout) == (2, "")
        with pytest.raises(HubError, match="no such revision"):
            pull("ada/etchings", "v9")
        for bad in ("../../x", "/etc"):
            result = kh("pull", "ada/etchings", "--revision", bad)
            assert result.returncode == 2
            assert "`repository` should be owner/repo" in result.stderr

    def test_all_files_that_keras_needs(self, hub, etchings):
        first = pull("ada/etchings")
        assert not (first.path / "model.weights.h5").exists()
        every = pull("ada/etchings", every_file=True)
        assert every.fetched
        assert (every.path / "model.weights.h5").read_bytes() == b"h5"
        assert not (every.path / "model.onnx").exists()
        assert not pull("ada/etchings", every_file=True).fetched

    def test_a_private_repository_needs_a_token(self, hub, files):
        hub.put("museum/secret", files, private=True)
        without = kh("pull", "museum/secret")
        assert without.returncode == 1
        assert "no such repository, or it is private" in without.stderr
        for user, code in (("eve", 1), ("ada", 0)):
            token = hub.token_of(user)
            result = kh("pull", "museum/secret", HF_TOKEN=token, KH_DEBUG="1")
            assert result.returncode == code
            assert token not in result.stdout + result.stderr
        assert kh("pull", "museum/secret").returncode == 0  # it is on the disk now

    def test_several_at_once_of_which_one_fails(self, hub, etchings, tmp_path):
        hub.put("ada/other", model_files(tmp_path / "other", seed=2))
        result = kh("pull", "ada/other", "ada/nothing", "ada/etchings", "relu1-5", "--json")
        assert result.returncode == 1
        states = {
            line["name"]: line["status"] for line in map(json.loads, result.stdout.splitlines())
        }
        assert states == {
            "relu1-5": "skipped",
            "ada/other": "done",
            "ada/nothing": "failed",
            "ada/etchings": "done",
        }
        assert "nothing to pull" in result.stderr
        assert "Traceback" not in result.stderr

    def test_names_that_mean_nothing(self, hub):
        result = kh("pull", "relu1to6")
        assert result.returncode == 2
        assert "Did you mean 'relu1to5'?" in result.stderr
        assert hub.requests == []

    def test_progress_is_of_bytes(self, hub, etchings, files):
        seen = []
        pull("ada/etchings", on_bytes=lambda more, total: seen.append((more, total)))
        assert sum(more for more, _ in seen) == sum(map(len, files.values()))
        assert seen[-1][1] >= len(files["model.safetensors"])


class TestFaults:
    @pytest.mark.parametrize(
        ("fault", "message"),
        [
            (401, "the token is not valid"),
            (403, "may not do this"),
            ("RepoNotFound", "there is no such repository"),
            ("RevisionNotFound", "no such revision"),
            ("GatedRepo", "is gated"),
            (409, "somebody changed it"),
            (412, "somebody changed it"),
            (429, "too many requests"),
            (500, "out of order"),
            (503, "out of order"),
        ],
    )
    def test_each_answer_has_its_line(self, hub, etchings, fault, message):
        hub.fail("GET /api/models/ada/etchings", fault, times=20)
        with pytest.raises(HubError, match=message) as caught:
            pull("ada/etchings")
        assert "\n" not in str(caught.value)
        assert find_stored("ada/etchings") is None

    @pytest.mark.parametrize("fault", ["truncated", "wrong_hash"])
    @pytest.mark.parametrize("what", ["GET /blobs", "GET /ada/etchings/resolve/[^/]+/config.json"])
    def test_what_arrives_damaged_is_not_kept(self, hub, etchings, files, fault, what):
        hub.fail(what, fault)
        with pytest.raises(HubError, match=r"cut|another hash"):
            pull("ada/etchings")
        assert find_stored("ada/etchings") is None
        stored = pull("ada/etchings")
        for name, content in files.items():
            assert (stored.path / name).read_bytes() == content

    def test_a_cut_line_is_gone_on_with(self, hub, etchings):
        hub.fail("GET /blobs", "cut")
        assert pull("ada/etchings").fetched

    def test_no_hub_at_all(self, hub, etchings, monkeypatch):
        monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
        with pytest.raises(HubError, match="can't be reached"):
            pull("ada/etchings")

    def test_kills(self, hub, tmp_path):
        # A model of a megabyte, which takes the server a third of a second to send.
        hub.put("ada/large", model_files(tmp_path / "large", taps=("relu2_2",)))
        hub.fail("GET", "slow", times=10**6)
        moments = random.Random(20261126)
        # CI has not the time for more: KH_KILLS=20 has it.
        for _ in range(int(os.environ.get("KH_KILLS", "5"))):
            remaining = find_stored("ada/large")
            if remaining:
                remove("ada/large")
            process = subprocess.Popen(
                [KH, "pull", "ada/large"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            asked = len(hub.requests)
            deadline = time.monotonic() + 60
            while len(hub.requests) == asked and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(moments.uniform(0, 0.6))
            process.send_signal(signal.SIGKILL)
            process.wait()
            found = find_stored("ada/large")
            if found:  # then it is whole, and can be used
                load = find("ada/large")
                assert load.folder == found
                assert Colorizer("ada/large").size == 64
        assert kh("pull", "ada/large").returncode == 0
        assert Colorizer("ada/large").size == 64

    def test_two_processes_at_once(self, hub, tmp_path):
        made = model_files(tmp_path / "large", taps=("relu2_2",))
        hub.put("ada/large", made)
        hub.fail("GET /blobs", "slow", times=2)
        both = [
            subprocess.Popen([KH, "pull", "ada/large"], stdout=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        outputs = [process.communicate(timeout=120)[0].strip() for process in both]
        assert [process.returncode for process in both] == [0, 0]
        assert outputs[0] == outputs[1]
        assert Path(outputs[0], "model.safetensors").read_bytes() == made["model.safetensors"]


class TestOffline:
    def test_what_is_on_the_disk_works(self, hub, etchings, photo, tmp_path):
        assert kh("pull", "ada/etchings").returncode == 0
        for arguments in (
            ["pull", "ada/etchings"],
            ["list"],
            ["show", "ada/etchings"],
            ["show", "relu1to5"],
            ["verify"],
            ["colorize", photo, "-m", "ada/etchings", "-o", tmp_path / "one"],
            ["colorize", photo, "-o", tmp_path / "two"],
            ["doctor", "--offline"],
        ):
            result = kh_without_sockets(*arguments)
            assert result.returncode == 0, (arguments, result.stderr)
            assert "a socket" not in result.stderr
        assert len(list(tmp_path.glob("one/*.png"))) == len(list(tmp_path.glob("two/*.png"))) == 1

    @pytest.mark.parametrize("how", [["--offline"], []])
    def test_what_is_not_is_said_with_the_command_that_fetches_it(self, hub, etchings, photo, how):
        environment = {} if how else {"HF_HUB_OFFLINE": "1"}
        for arguments in (
            ["pull", "ada/etchings@v1"],
            ["show", "ada/etchings@v1"],
            ["colorize", photo, "-m", "ada/etchings@v1"],
        ):
            result = kh_without_sockets(*arguments, *how, **environment)
            assert result.returncode == 1
            [line] = [line for line in result.stderr.splitlines() if "network is off" in line]
            assert "`kh pull ada/etchings@v1` fetches it" in line
        assert hub.requests == []

    def test_a_folder_of_ones_own(self, hub, etchings, photo, tmp_path):
        cache = tmp_path / "mine"
        result = kh("pull", "ada/etchings", "--cache-dir", cache)
        assert result.returncode == 0
        assert Path(result.stdout.strip()).is_relative_to(cache)
        assert find_stored("ada/etchings") is None
        arguments = ["colorize", photo, "-m", "ada/etchings", "--cache-dir", cache]
        assert kh_without_sockets(*arguments).returncode == 0
        assert "ada/etchings" in kh("list", "--cache-dir", cache).stdout


class TestUse:
    def test_from_python(self, hub, etchings, tmp_path):
        model = load_model("ada/etchings")  # fetched by that
        lightness = np.random.default_rng(3).uniform(0, 100, (1, 32, 48, 1)).astype("float32")
        same = load_model(tmp_path / "made")
        np.testing.assert_array_equal(
            model.predict(lightness, verbose=0), same.predict(lightness, verbose=0)
        )
        engine = Colorizer("hf://ada/etchings@v1").engine
        np.testing.assert_allclose(
            engine.predict_ab(lightness[0, ..., 0]),
            same.predict(lightness, verbose=0)[0],
            atol=1e-3,
        )

    def test_colorize_pulls_what_it_needs(self, hub, etchings, photo):
        result = kh("colorize", photo, "-m", "ada/etchings", "--json")
        assert result.returncode == 0, result.stderr
        assert json.loads(result.stdout)["status"] == "done"

    def test_damage_is_noticed_before_use(self, hub, etchings, photo):
        stored = pull("ada/etchings")
        path = (stored.path / "model.safetensors").resolve()
        content = bytearray(path.read_bytes())
        content[-5] ^= 1
        path.write_bytes(content)
        with pytest.raises(ModelError, match="is damaged"):
            load_model("ada/etchings")
        result = kh("colorize", photo, "-m", "ada/etchings")
        assert result.returncode == 2
        assert "is damaged" in result.stderr
        verify = kh("verify")
        assert verify.returncode == 1
        assert "is damaged" in verify.stderr
        assert "relu1to5: ok, bundled" in verify.stdout
        assert pull("ada/etchings").fetched
        assert kh("verify", "ada/etchings").stdout == "ada/etchings: ok, cached\n"
        assert kh("verify", "ada/nothing").returncode == 2

    def test_a_path_comes_before_the_hub(self, hub, etchings, tmp_path, monkeypatch):
        model_files(tmp_path / "ada" / "etchings")
        monkeypatch.chdir(tmp_path)
        assert find("ada/etchings").where == "path"
        assert find("hf://ada/etchings").where == "remote"
        with pytest.raises(VariantError, match="one of 'etchings'"):
            load_model("ada/etchings/engravings")

    def test_list_and_show(self, hub, etchings):
        shown = json.loads(kh("show", "ada/etchings", "--json").stdout)
        assert (shown["where"], shown["license"]) == ("remote", "cc-by-4.0")
        assert shown["card"].endswith("Etchings.\n")
        pull("ada/etchings")
        lines = map(json.loads, kh("list", "--json").stdout.splitlines())
        records = {record["name"]: record for record in lines}
        assert records["relu1to5"]["where"] == "bundled"
        assert records["relu1to5"]["gain"].keys() == {"flowers", "photos", "more", "people"}
        record = records["ada/etchings"]
        assert (record["where"], record["license"], record["taps"]) == (
            "cached",
            "cc-by-4.0",
            ["relu1_2"],
        )
        assert record["revision"] == etchings
        shown = json.loads(kh("show", "ada/etchings", "--json").stdout)
        assert (shown["where"], shown["taps"]) == ("cached", {"etchings": ["relu1_2"]})
        assert shown["parameters"] == {"etchings": 37698}

    def test_rm_removes_what_is_ours_alone(self, hub, etchings):
        pull("ada/etchings")
        other = Path(constants.HF_HUB_CACHE, "models--ada--bert", "snapshots", "0" * 40)
        other.mkdir(parents=True)
        (other / "config.json").write_text('{"model_type": "bert"}')
        assert [stored.repository for stored in list_stored()] == ["ada/etchings"]
        result = kh("rm", "ada/bert")
        assert result.returncode == 2
        assert "should be a repository on this disk: ada/etchings" in result.stderr
        result = kh("rm", "ada/etchings")
        assert (result.returncode, result.stdout) == (0, "ada/etchings\n")
        assert "0.2 MB are free again" in result.stderr
        assert list_stored() == []
        assert (other / "config.json").is_file()
        assert kh("rm", "relu1to5").returncode == 2

    def test_doctor(self, hub, etchings):
        token = hub.token_of("ada")
        pull("ada/etchings")
        result = kh("doctor", "--json", HF_TOKEN=token, HTTPS_PROXY="http://me:secret@proxy:3128")
        assert result.returncode == 0, result.stderr
        found = json.loads(result.stdout)
        assert found["hub"] == hub.endpoint
        assert found["hub_answers"] == "yes, 200"
        assert found["pulled"].startswith("1 model, 0.2 MB")
        assert found["HTTPS_PROXY"] == "***@proxy:3128"
        assert found["default_model"].startswith("lite, ships with the package")
        assert found["token"] == "set"
        assert token not in result.stdout + result.stderr
        gone = kh("doctor", HF_ENDPOINT="http://127.0.0.1:9")
        assert gone.returncode == 0
        assert "no: " in gone.stdout
