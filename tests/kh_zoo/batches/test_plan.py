import os
import unicodedata
from pathlib import Path

import pytest
from PIL import ExifTags, Image

from kh_zoo.batches.plan import PlanError, plan_batch
from kh_zoo.errors import OutputError
from kh_zoo.pictures.output import SOFTWARE


def picture(path, software=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("L", (4, 3), 90)
    exif = Image.Exif()
    if software:
        exif[ExifTags.Base.Software] = software
    image.save(path, exif=exif)
    return path


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def targets(plan):
    return {str(job.source): str(job.target) for job in plan.jobs}


@pytest.mark.usefixtures("here")
class TestNames:
    def test_a_picture_is_written_beside_itself(self):
        picture(Path("photo.jpg"))
        assert targets(plan_batch([Path("photo.jpg")])) == {"photo.jpg": "photo.color.jpg"}

    def test_a_folder_keeps_its_tree_and_its_names(self):
        for name in ("dir/b.png", "dir/sub/A.JPG", "dir/sub.d/deep/a.tif"):
            picture(Path(name))
        assert targets(plan_batch([Path("dir/")])) == {
            "dir/b.png": "dir-color/b.png",
            "dir/sub/A.JPG": "dir-color/sub/A.JPG",
            "dir/sub.d/deep/a.tif": "dir-color/sub.d/deep/a.tif",
        }

    def test_the_current_folder_has_a_name(self, monkeypatch):
        picture(Path("dir/a.jpg"))
        monkeypatch.chdir("dir")
        [job] = plan_batch([Path(".")]).jobs
        assert job.target == Path.cwd().parent / "dir-color" / "a.jpg"

    def test_output_is_a_folder(self):
        picture(Path("a.jpg"))
        picture(Path("dir/sub/b.png"))
        assert targets(plan_batch([Path("a.jpg"), Path("dir")], output=Path("out"))) == {
            "a.jpg": "out/a.jpg",
            "dir/sub/b.png": "out/sub/b.png",
        }

    def test_output_is_a_file_name_for_one_picture(self):
        picture(Path("a.jpg"))
        plan = plan_batch([Path("a.jpg")], output=Path("new/b.png"))
        assert targets(plan) == {"a.jpg": "new/b.png"}

    def test_an_existing_folder_is_a_folder_whatever_its_name(self):
        picture(Path("a.jpg"))
        Path("out.png").mkdir()
        plan = plan_batch([Path("a.jpg")], output=Path("out.png"))
        assert targets(plan) == {"a.jpg": "out.png/a.jpg"}

    def test_the_format_changes_the_suffix_where_it_is_another(self):
        for name in ("dir/a.png", "dir/b.JPG", "dir/c.jpeg"):
            picture(Path(name))
        assert targets(plan_batch([Path("dir")], suffix=".jpg")) == {
            "dir/a.png": "dir-color/a.jpg",
            "dir/b.JPG": "dir-color/b.JPG",
            "dir/c.jpeg": "dir-color/c.jpeg",
        }

    def test_what_cannot_be_written_becomes_png(self):
        picture(Path("a.gif"))
        picture(Path("scan.001.jpg")).rename("scan.001")
        assert targets(plan_batch([Path("a.gif"), Path("scan.001")])) == {
            "a.gif": "a.color.png",
            "scan.001": "scan.001.color.png",
        }
        picture(Path("dir/b.jpg")).rename("dir/b.jfif")
        assert targets(plan_batch([Path("dir")])) == {"dir/b.jfif": "dir-color/b.jpg"}


@pytest.mark.usefixtures("here")
class TestInputs:
    def test_other_files_and_hidden_ones_are_passed_over(self):
        for name in ("dir/a.jpg", "dir/.b.jpg", "dir/.thumbnails/c.jpg"):
            picture(Path(name))
        Path("dir/notes.txt").write_text("no picture")
        os.mkfifo("dir/pipe.jpg")
        assert targets(plan_batch([Path("dir")])) == {"dir/a.jpg": "dir-color/a.jpg"}

    def test_pictures_that_cannot_be_read_are_tried_so_that_they_are_named(self):
        picture(Path("dir/a.bmp").with_suffix(".jpg")).rename("dir/a.bmp")
        assert targets(plan_batch([Path("dir")])) == {"dir/a.bmp": "dir-color/a.png"}

    def test_a_named_file_is_tried_whatever_it_is(self):
        Path("notes.txt").write_text("no picture")
        Path(".hidden.jpg").write_text("no picture")
        plan = plan_batch([Path("notes.txt"), Path(".hidden.jpg")])
        assert len(plan.jobs) == 2

    def test_loops_of_links_end(self):
        picture(Path("dir/sub/a.jpg"))
        Path("dir/sub/loop").symlink_to("..", target_is_directory=True)
        Path("dir/self").symlink_to(".", target_is_directory=True)
        assert targets(plan_batch([Path("dir")])) == {"dir/sub/a.jpg": "dir-color/sub/a.jpg"}

    def test_a_linked_folder_is_read_once_and_at_its_own_place_if_it_has_one(self):
        picture(Path("elsewhere/x.jpg"))
        picture(Path("dir/z/y.jpg"))
        Path("dir/a").symlink_to("z", target_is_directory=True)
        Path("dir/b").symlink_to("../elsewhere", target_is_directory=True)
        assert targets(plan_batch([Path("dir")])) == {
            "dir/b/x.jpg": "dir-color/b/x.jpg",
            "dir/z/y.jpg": "dir-color/z/y.jpg",
        }

    def test_a_link_to_nothing_is_tried_so_that_it_is_named(self):
        Path("dir").mkdir()
        Path("dir/a.jpg").symlink_to("gone.jpg")
        assert targets(plan_batch([Path("dir")])) == {"dir/a.jpg": "dir-color/a.jpg"}

    def test_a_picture_named_twice_is_done_once(self):
        picture(Path("a.jpg"))
        assert len(plan_batch([Path("a.jpg"), Path("./a.jpg"), Path("a.jpg").resolve()]).jobs) == 1

    def test_a_folder_that_cannot_be_listed_is_named_and_the_rest_done(self, monkeypatch):
        picture(Path("dir/a.jpg"))
        Path("dir/locked").mkdir()
        scandir = os.scandir

        def refuse(folder):
            if Path(folder).name == "locked":
                raise PermissionError(13, "Permission denied", str(folder))
            return scandir(folder)

        monkeypatch.setattr(os, "scandir", refuse)
        plan = plan_batch([Path("dir")])
        assert len(plan.jobs) == 1
        assert plan.unreadable == ((Path("dir/locked"), "Permission denied"),)

    def test_links_that_lead_nowhere_or_in_circles_are_named_and_the_rest_done(self):
        picture(Path("dir/a.jpg"))
        picture(Path("dir/sub/b.jpg"))
        for link, target in (
            ("dir/self", "self"),
            ("dir/self.jpg", "self.jpg"),
            ("dir/two", "one"),
            ("dir/one", "two"),
            ("dir/sub/gone.jpg", "nothing/gone.jpg"),
            ("dir/through.jpg", "a.jpg/b.jpg"),
        ):
            Path(link).symlink_to(target)
        plan = plan_batch([Path("dir")])
        assert set(targets(plan)) == {
            *("dir/a.jpg", "dir/sub/b.jpg"),
            *(
                "dir/self.jpg",
                "dir/sub/gone.jpg",
                "dir/through.jpg",
            ),  # tried, so that they are named
        }
        loop = "Too many levels of symbolic links"
        assert set(plan.unreadable) == {
            (Path(f"dir/{name}"), loop) for name in ("self", "one", "two")
        }
        named = [Path(f"dir/{name}") for name in ("a.jpg", "self", "self.jpg", "sub/gone.jpg")]
        assert set(targets(plan_batch(named))) == {str(path) for path in named}

    def test_links_into_a_folder_that_cannot_be_read(self, monkeypatch):
        picture(Path("dir/a.jpg"))
        picture(Path("locked/b.jpg"))
        Path("dir/b.jpg").symlink_to("../locked/b.jpg")
        Path("dir/sub").symlink_to("../locked/sub")
        look = os.stat

        def refuse(path, *arguments, **keywords):
            if isinstance(path, (str, Path)) and "locked/" in os.path.realpath(path):
                raise PermissionError(13, "Permission denied", str(path))
            return look(path, *arguments, **keywords)

        monkeypatch.setattr(os, "stat", refuse)
        plan = plan_batch([Path("dir")])
        assert set(targets(plan)) == {"dir/a.jpg", "dir/b.jpg"}
        assert plan.unreadable == ((Path("dir/sub"), "Permission denied"),)
        plan = plan_batch([Path("dir/a.jpg"), Path("dir/b.jpg"), Path("locked/b.jpg")])
        assert set(targets(plan)) == {"dir/a.jpg", "dir/b.jpg", "locked/b.jpg"}

    def test_what_systems_keep_is_passed_over_and_counted(self):
        picture(Path("dir/a.jpg"))
        for name in (
            *("@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg", ".thumbnails/normal/x.png", "._a.jpg"),
            *(
                ".Trash-1000/files/b.jpg",
                "lost+found/c.jpg",
                "$RECYCLE.BIN/d.jpg",
                "#recycle/e.jpg",
            ),
            *("sub/@eaDir/f.jpg", "__MACOSX/g.jpg", "System Volume Information/h.jpg"),
        ):
            picture(Path("dir") / name)
        for name in ("Thumbs.db", "sub/desktop.ini", "notes.txt", "sub/LIES.TXT", "README"):
            Path("dir", name).write_text("no picture")
        os.mkfifo("dir/pipe.jpg")
        plan = plan_batch([Path("dir")])
        assert targets(plan) == {"dir/a.jpg": "dir-color/a.jpg"}
        assert plan.passed == {
            **{"hidden": 3, "of the system": 9, ".txt": 2, "without a suffix": 1, "no files": 1}
        }
        # Who names such a folder or file means it.
        picture(Path("lost+found/i.jpg"))
        assert len(plan_batch([Path("lost+found"), Path("dir/._a.jpg")]).jobs) == 2

    def test_a_missing_path_is_refused(self):
        with pytest.raises(PlanError, match=r"there.*Received: gone"):
            plan_batch([Path("gone")])

    def test_no_picture_at_all_is_refused(self):
        Path("dir").mkdir()
        with pytest.raises(PlanError, match="no pictures found in: dir"):
            plan_batch([Path("dir")])


@pytest.mark.usefixtures("here")
class TestOwnOutputs:
    def test_by_name(self):
        for name in ("a.jpg", "a.color.jpg", "dir/b.jpg", "dir/b.color.jpg"):
            picture(Path(name))
        plan = plan_batch([Path("a.color.jpg"), Path("a.jpg"), Path("dir")], overwrite=True)
        assert set(targets(plan)) == {"a.jpg", "dir/b.jpg"}
        assert set(plan.own) == {Path("a.color.jpg"), Path("dir/b.color.jpg")}

    def test_by_the_mark_inside(self):
        picture(Path("a.jpg"))
        picture(Path("b.jpg"), SOFTWARE)
        picture(Path("c.jpg"), "a camera 1.0")
        plan = plan_batch([Path("a.jpg"), Path("b.jpg"), Path("c.jpg")])
        assert set(targets(plan)) == {"a.jpg", "c.jpg"}
        assert plan.own == (Path("b.jpg"),)

    def test_an_output_clashes_with_no_input(self):
        picture(Path("a.png"))
        picture(Path("a.jpg"), SOFTWARE)
        plan = plan_batch([Path("a.png"), Path("a.jpg")], output=Path("."), suffix=".jpg")
        assert [job.source for job in plan.finished] == [Path("a.png")]

    def test_the_folder_beside(self):
        for name in ("all/dir/a.jpg", "all/dir-color/a.jpg", "all/other-color/b.jpg"):
            picture(Path(name))
        wanted = {"all/dir/a.jpg", "all/other-color/b.jpg"}
        assert set(targets(plan_batch([Path("all")]))) == wanted
        named = plan_batch([Path("all/dir"), Path("all/dir-color")], overwrite=True)
        assert set(targets(named)) == {"all/dir/a.jpg"}
        assert named.own == (Path("all/dir-color"),)

    def test_the_output_folder_is_no_input(self):
        for name in ("dir/a.jpg", "dir/out/b.jpg"):
            picture(Path(name))
        plan = plan_batch([Path("dir"), Path("dir/out")], output=Path("dir/out"))
        assert set(targets(plan)) == {"dir/a.jpg"}

    def test_pictures_of_somebody_else_in_the_output_folder_are_counted(self):
        for name in ("dir/a.jpg", "dir/out/mine.jpg", "dir/out/sub/mine.png", "dir/out/a.jpg"):
            picture(Path(name))
        Path("dir/out/link").symlink_to("..", target_is_directory=True)
        picture(Path("dir/out/earlier.jpg"), SOFTWARE)
        for paths in (["dir"], ["dir/a.jpg", "dir/out"], ["dir", "dir/out"]):
            plan = plan_batch(map(Path, paths), output=Path("dir/out"))
            assert plan.passed == {"in the output folder": 2}
            assert [job.source for job in plan.finished] == [Path("dir/a.jpg")]
        assert plan_batch([Path("dir")], output=Path("other")).passed == {}

    def test_nothing_but_outputs_is_refused(self):
        picture(Path("a.color.jpg"))
        with pytest.raises(PlanError, match=r"a\.color\.jpg is an output itself"):
            plan_batch([Path("a.color.jpg")])

    def test_finished_ones_are_not_done_again_unless_asked(self):
        for name in ("dir/a.jpg", "dir/b.jpg", "dir-color/a.jpg"):
            picture(Path(name))
        plan = plan_batch([Path("dir")])
        assert set(targets(plan)) == {"dir/b.jpg"}
        assert [job.source for job in plan.finished] == [Path("dir/a.jpg")]
        assert len(plan_batch([Path("dir")], overwrite=True).jobs) == 2


@pytest.mark.usefixtures("here")
class TestRefusals:
    @pytest.mark.parametrize(
        ("names", "suffix"),
        [
            (("dir/a.jpg", "dir/a.png"), ".jpg"),
            (("dir/a.gif", "dir/a.png"), None),
            (("dir/a.jpg", "dir/A.JPG"), None),
            (
                (
                    unicodedata.normalize("NFC", "dir/é.jpg"),
                    unicodedata.normalize("NFD", "dir/é.jpg"),
                ),
                None,
            ),
        ],
    )
    def test_two_inputs_for_one_output(self, names, suffix):
        for name in names:
            picture(Path(name))
        with pytest.raises(PlanError) as refusal:
            plan_batch([Path("dir")], suffix=suffix)
        assert all(name in str(refusal.value) for name in names)

    def test_the_same_name_from_two_folders(self):
        for name in ("x/a.jpg", "y/a.jpg"):
            picture(Path(name))
        assert len(plan_batch([Path("x"), Path("y")]).jobs) == 2
        with pytest.raises(PlanError, match=r"one output, out/a\.jpg: x/a\.jpg and y/a\.jpg"):
            plan_batch([Path("x"), Path("y/a.jpg")], output=Path("out"))

    @pytest.mark.parametrize("output", [".", "a.jpg", "link"])
    def test_an_input_is_never_overwritten(self, output):
        picture(Path("a.jpg"))
        Path("link").symlink_to(".", target_is_directory=True)
        with pytest.raises(PlanError, match="overwrite the input"):
            plan_batch([Path("a.jpg")], output=Path(output), overwrite=True)

    def test_a_file_name_for_several(self):
        for name in ("a.jpg", "b.jpg", "dir/c.jpg", "file"):
            picture(Path(name + ("" if "." in name else ".png")))
        for paths in ([Path("a.jpg"), Path("b.jpg")], [Path("dir")]):
            with pytest.raises(PlanError, match="should be a folder"):
                plan_batch(paths, output=Path("new.jpg"))
            with pytest.raises(PlanError, match="should be a folder"):
                plan_batch(paths, output=Path("file.png"))

    def test_a_format_that_cannot_be_written(self):
        picture(Path("a.jpg"))
        with pytest.raises(PlanError, match=r"`format`.*'gif'"):
            plan_batch([Path("a.jpg")], suffix=".gif")
        with pytest.raises(PlanError, match=r"`output`.*new\.gif"):
            plan_batch([Path("a.jpg")], output=Path("new.gif"))
        with pytest.raises(PlanError, match="one format"):
            plan_batch([Path("a.jpg")], output=Path("new.png"), suffix=".jpg")

    def test_a_folder_that_cannot_be_written_to(self):
        picture(Path("a.jpg"))
        Path("file").write_text("in the way")
        with pytest.raises(OutputError, match=r"file/out"):
            plan_batch([Path("a.jpg")], output=Path("file/out"))

    def test_nothing_is_made_by_planning(self):
        picture(Path("dir/a.jpg"))
        plan_batch([Path("dir")], output=Path("new/out"))
        assert sorted(os.listdir()) == ["dir"]
