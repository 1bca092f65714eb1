"""The walk through folders of images that everything shares."""

from __future__ import annotations

import os
import re
from pathlib import Path

import edgeexit_runtime as ee
import pytest
from edgeexit_runtime.images.decoding import FORMATS
from edgeexit_runtime.images.folder import (
    IMAGE_SUFFIXES,
    describe_left_out,
    find_images,
    has_image_suffix,
    list_folders,
)

NO_PICTURES = {
    *("AVIF", "BUFR", "GRIB", "HDF5"),  # .avifs are films; the others are data for plugins
    *("EPS", "PDF", "WMF", "XBM", "XPM"),  # drawn, by Ghostscript or the system; text
    *("FLI", "MPEG"),
    *("CUR", "ICNS", "ICO"),
    *("BLP", "DDS", "DCX", "FITS", "FTEX", "GBR", "IM", "IPTC", "MSP", "PALM", "PCD", "PIXAR"),
    *("JPEG2000", "SGI", "TGA"),  # whose rarer suffixes mean other things too
}


def write(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def names(folder: Path) -> list[str]:
    return [Path(path).relative_to(folder).as_posix() for path in find_images(folder).paths]


def test_images_come_in_order_of_their_names_part_by_part(tmp_path: Path) -> None:
    write(tmp_path, "b.png", "a/z.JPG", "a/b/c.jfif", "a-b/d.gif", "a/y.avif")
    found = ["a/b/c.jfif", "a/y.avif", "a/z.JPG", "a-b/d.gif", "b.png"]
    assert names(tmp_path) == found == sorted(found, key=lambda name: name.split("/"))
    assert find_images(tmp_path).folders == [["a", "b"], ["a"], ["a"], ["a-b"], []]
    assert find_images(tmp_path).left_out == {}


@pytest.mark.parametrize("start", ["", "./", "../here/"])
def test_the_folder_may_be_written_in_any_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: str
) -> None:
    write(tmp_path / "here", "photos/cat/a.png", "photos/b.png")
    monkeypatch.chdir(tmp_path / "here")
    for folder in (start + "photos/", Path(start + "photos")):
        assert find_images(folder).folders == [[], ["cat"]]
    assert find_images(".").folders == [["photos"], ["photos", "cat"]]


@pytest.mark.parametrize(
    "name",
    [
        *(".DS_Store", "._a.jpg", ".thumbnails/a.jpg", ".ipynb_checkpoints/a-checkpoint.jpg"),
        *("Thumbs.db", "desktop.ini", "@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg", "#recycle/a.jpg"),
        *("__MACOSX/cat/a.jpg", "$RECYCLE.BIN/a.jpg", "System Volume Information/a.jpg"),
    ],
)
def test_what_tools_leave_behind_is_passed_over(tmp_path: Path, name: str) -> None:
    write(tmp_path, "cat/a.jpg", name, f"cat/{name}")
    assert names(tmp_path) == ["cat/a.jpg"]
    assert find_images(tmp_path).left_out == {}
    assert list_folders(tmp_path) == ["cat"]


def test_a_folder_that_is_named_itself_may_be_hidden(tmp_path: Path) -> None:
    write(tmp_path, ".cache/photos/a.png")
    assert len(find_images(tmp_path / ".cache").paths) == 1


def test_what_is_left_out_is_counted_by_what_it_is(tmp_path: Path) -> None:
    write(tmp_path, "a.png", "notes.txt", "deep/More.TXT", "b.heic", "LICENSE", "Makefile")
    write(tmp_path, "c.jp\x1bg", "movie.mp4")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "itself.jpg").symlink_to(tmp_path / "itself.jpg")
    found = find_images(tmp_path)
    assert names(tmp_path) == ["a.png"]
    assert found.left_out == {
        ".txt": 2,
        ".heic": 1,
        ".mp4": 1,
        "file without a suffix": 2,
        "file of an odd name": 1,
        "file of a special kind": 1,
        "link to nothing": 2,
    }


def test_left_out_in_words_is_short() -> None:
    left_out = {".txt": 12, "link to nothing": 3, ".heic": 1040, "file without a suffix": 1}
    assert describe_left_out(left_out) == (
        "1,040 .heic, 12 .txt, 3 links to nothing, 1 file without a suffix"
    )
    numbered = {f".{number:03}": 1 for number in range(1000)}
    assert describe_left_out(numbered) == "1 .000, 1 .001, 1 .002, 1 .003, 1 .004, 995 others"
    assert describe_left_out({}) == ""


def test_links_are_followed_and_each_folder_is_searched_once(tmp_path: Path) -> None:
    write(tmp_path, "photos/cat/a.png", "elsewhere/b.png", "elsewhere/deep/c.png")
    photos = tmp_path / "photos"
    (photos / "cat" / "up").symlink_to(photos)
    (photos / "cat" / "here").symlink_to(photos / "cat")
    (photos / "dog").symlink_to(tmp_path / "elsewhere")
    (photos / "fox").symlink_to(tmp_path / "elsewhere" / "deep")
    (photos / "link.png").symlink_to(tmp_path / "elsewhere" / "b.png")
    assert names(photos) == ["cat/a.png", "dog/b.png", "dog/deep/c.png", "link.png"]
    assert find_images(photos).left_out == {"folder found twice": 3}


def test_many_folders_that_link_to_each_other(tmp_path: Path) -> None:
    for number in range(12):  # by way of every chain of links there would be 12! paths
        write(tmp_path, f"{number}/a.png")
        for other in range(12):
            (tmp_path / str(number) / f"to{other}").symlink_to(tmp_path / str(other))
    assert len(find_images(tmp_path).paths) == 12


def test_a_folder_that_cannot_be_listed(tmp_path: Path) -> None:
    with pytest.raises(ee.InputError, match=r"none: the folder cannot be listed \(No such file"):
        find_images(tmp_path / "none")
    write(tmp_path, "a.png")
    with pytest.raises(ee.InputError, match=r"a\.png: the folder cannot be listed \(Not a dir"):
        find_images(tmp_path / "a.png")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list everything")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    write(tmp_path, "a.png", "closed/b.png")
    (tmp_path / "closed").chmod(0)
    try:
        with pytest.raises(ee.InputError, match=r"closed: .*\(Permission denied\); make it read"):
            find_images(tmp_path)
    finally:
        (tmp_path / "closed").chmod(0o700)


def test_suffixes_are_those_of_pictures_that_pillow_reads() -> None:
    pillow = pytest.importorskip("PIL.Image")
    pillow.init()
    registered = pillow.registered_extensions()
    newer = {".avif", ".pfm"}  # from Pillow 11.3 and 10.3 on
    unread = [s for s in IMAGE_SUFFIXES if s not in registered and s not in newer]
    assert unread == []
    assert {registered[s] for s in IMAGE_SUFFIXES if s in registered} - {"MPO"} <= {*FORMATS}
    others = {kind for suffix, kind in registered.items() if suffix not in IMAGE_SUFFIXES}
    assert others <= NO_PICTURES, "a new format of Pillow: is it a picture?"


def test_a_name_tells_an_image_in_any_case() -> None:
    assert has_image_suffix("a.b.JPeG")
    assert not any(map(has_image_suffix, ("a.jpg.txt", "jpg", "a.heic", "a.")))
    assert all(re.fullmatch(r"\.[a-z0-9]+", suffix) for suffix in IMAGE_SUFFIXES)
