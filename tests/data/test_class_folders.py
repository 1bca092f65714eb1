"""Layouts of image folders as people have them. Nothing here is decoded: the files are empty."""

from __future__ import annotations

import unicodedata
from collections import Counter
from pathlib import Path

import pytest

from edgeexit.data import DataConfig, ImageData, load_data
from edgeexit.data.words import describe_data
from edgeexit.errors import DataError

CLASSES = ("cat", "dog")
NFC, NFD = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))


def fill(root: Path, *folders: str, count: int = 10, suffix: str = ".png") -> None:
    for folder in folders:
        (root / folder).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            (root / folder / f"{number:03}{suffix}").touch()


def both(*names: str) -> tuple[str, ...]:
    """Return the folders of both classes in folders of splits."""
    return tuple(f"{name}/{class_}" for name in names for class_ in CLASSES)


def split(root: Path, *names: str, count: int = 10) -> None:
    """Make folders of splits with both classes."""
    fill(root, *both(*names), count=count)


def load(root: Path, hold_out: int | None = None) -> ImageData:
    return load_data(DataConfig("imagefolder", str(root), hold_out=hold_out))


def sizes(data: ImageData) -> dict[str, int]:
    return {name: len(images) for name, images in data.splits.items()}


def refused(root: Path, *facts: str) -> None:
    """Check that the folder is refused in one line that has all these facts."""
    with pytest.raises(DataError) as caught:
        load(root)
    message = str(caught.value).replace(f"{root}/", "").replace(str(root), "ROOT")
    assert "\n" not in message
    missing = [fact for fact in facts if fact not in message]
    assert missing == [], message


# splits


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [
        ("train", "val", "test"),
        ("Train", "Validation", "Testing"),
        ("TRAIN", "valid", "test"),
        ("training", "dev", "testing"),
        ("train", "Val", "Test"),
    ],
)
def test_splits_are_known_by_their_usual_names(
    tmp_path: Path, train: str, val: str, test: str
) -> None:
    split(tmp_path, train)
    split(tmp_path, val, count=3)
    split(tmp_path, test, count=2)
    data = load(tmp_path)
    assert data.class_names == CLASSES
    assert sizes(data) == {"train": 20, "val": 6, "test": 4}
    assert data.notes == ()


@pytest.mark.parametrize(
    ("folders", "hold_out", "expected"),
    [
        (("train", "val"), None, (40, 20, 20)),
        (("train", "val"), 3, (34, 6, 40)),
        (("Train", "Test"), None, (36, 4, 40)),
        (("Train", "Test"), 5, (30, 10, 40)),
        ((".",), None, (32, 4, 4)),
        ((".",), 3, (30, 6, 4)),
    ],
)
def test_images_that_are_held_out(
    tmp_path: Path, folders: tuple[str, ...], hold_out: int | None, expected: tuple[int, ...]
) -> None:
    split(tmp_path, *folders, count=20)
    data = load(tmp_path, hold_out)
    assert data.class_names == CLASSES
    assert tuple(sizes(data).values()) == expected
    files = {name: images.files for name, images in data.splits.items()}  # type: ignore[attr-defined]
    assert len({path for part in files.values() for path in part.paths}) == sum(expected)
    assert files == {name: s.files for name, s in load(tmp_path, hold_out).splits.items()}  # type: ignore[attr-defined]
    assert files["test"].labels.count(0) == files["test"].labels.count(1)
    if hold_out is not None:
        assert Counter(files["val"].labels) == {0: hold_out, 1: hold_out}
        assert all(folders[0] in path for path in files["val"].paths)
        assert files["test"] == load(tmp_path, 1).splits["test"].files  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("folders", "hold_out", "fact"),
    [
        (("train", "val"), 10, "more than 10 training images of class cat to hold out 10, got 10"),
        (("train", "val", "test"), 2, "so nothing has to be held out; omit --hold-out"),
    ],
)
def test_hold_out_that_cannot_be(
    tmp_path: Path, folders: tuple[str, ...], hold_out: int, fact: str
) -> None:
    split(tmp_path, *folders)
    with pytest.raises(DataError, match=fact):
        load(tmp_path, hold_out)


@pytest.mark.parametrize(
    ("folders", "facts"),
    [
        # splits
        (both("Train"), ("ROOT has Train/ but no val/",)),
        (both("Valid", "test"), ("ROOT has Valid/ but no train/",)),
        (both("train", "val", "Valid"), ("ROOT has Valid/ and val/", "names of the val split")),
        (both("train", "Train", "test"), ("ROOT has Train/ and train/",)),
        (("cat", "dog", "test"), ("ROOT has test/ but no train/",)),
        # one level too high or too low
        ((), ("one folder per class in ROOT, at least 2, got none",)),
        (("",), ("got 10 images without one",)),
        (("cat",), ("got cat/ alone; sort",)),
        (
            both("dataset"),
            ("got dataset/ alone, with cat/, dog/ in dataset", "give --data-dir dataset"),
        ),
        (
            both("a/b/train", "a/b/val"),
            ("got a/ alone, with train/, val/ in a/b", "give --data-dir a/b"),
        ),
        (
            ("archive/train/cat", "archive/val/cat", "models"),
            ("archive holds train/ and val/", "give it as --data-dir", "as in train/archive/"),
        ),
        (("cat/train", "cat/test", "dog/train"), ("cat holds train/ and test/",)),
        # classes that one split lacks, or names otherwise
        (
            (*both("train", "val"), "val/fox"),
            ("val has the class fox, which train lacks; use",),
        ),
        (
            (*both("train", "val"), "train/emu", "train/gnu"),
            ("train has the class emu, which val lacks, and 1 more such",),
        ),
        (
            (f"train/{NFC}", "train/dog", f"val/{NFD}", "val/dog"),
            ("val has the class 'cafe\\u0301', train has 'caf\\xe9'", "Unicode"),
        ),
        *(
            ((*both("train"), f"val/{name}", "val/dog"), ("'cat'", ascii(name), "the same word"))
            for name in ("Cat", "cat ", "ｃat")
        ),
        ((NFC, NFD, "dog"), ("'cafe\\u0301' and 'caf\\xe9', one name in two forms of Unicode",)),
    ],
)
def test_layouts_that_are_refused(
    tmp_path: Path, folders: tuple[str, ...], facts: tuple[str, ...]
) -> None:
    fill(tmp_path, *folders)
    refused(tmp_path, *facts)


def test_one_folder_is_not_two_splits(tmp_path: Path) -> None:
    split(tmp_path, "train", "test")
    (tmp_path / "val").symlink_to(tmp_path / "test")
    refused(tmp_path, "test/ and val/ in ROOT are one folder", "remove one")


def test_trains_may_be_a_class(tmp_path: Path) -> None:
    fill(tmp_path, "bus", "car", "train")
    assert load(tmp_path).class_names == ("bus", "car", "train")


def test_letter_case_tells_classes_apart(tmp_path: Path) -> None:
    fill(tmp_path, "A", "a")
    assert load(tmp_path).class_names == ("A", "a")


def test_folders_beside_the_splits_are_named(tmp_path: Path) -> None:
    split(tmp_path, "train", "val")
    fill(tmp_path, "extra", "annotations", suffix=".xml")
    (tmp_path / ".cache").mkdir()
    assert load(tmp_path).notes == (
        f"not read: annotations/, extra/ in {tmp_path}, beside the splits",
    )


def test_a_test_split_without_classes(tmp_path: Path) -> None:
    split(tmp_path, "train", "val")
    fill(tmp_path, "test", count=7)
    refused(tmp_path, "in test, at least 2, got 7 images without one", "remove the folder")


# classes


def test_images_may_lie_deep_in_a_class(tmp_path: Path) -> None:
    fill(tmp_path, "cat", "cat/2023", "cat/2024/may", "dog/2023", "dog/2024")
    data = load(tmp_path)
    assert (data.class_names, sum(sizes(data).values())) == (CLASSES, 50)
    assert data.notes == ()


def test_classes_that_hold_folders_alone_are_said(tmp_path: Path) -> None:
    fill(tmp_path, *(f"fold{number}/{name}" for number in range(5) for name in CLASSES))
    (note,) = load(tmp_path).notes
    assert f"every class of {tmp_path} holds only folders, as fold0/ does (cat, dog)" in note
    assert f"give --data-dir {tmp_path}/fold0" in note


def test_a_folder_for_the_images_of_each_class(tmp_path: Path) -> None:
    fill(tmp_path, "cat/images", "dog/images")  # as in Tiny ImageNet
    assert load(tmp_path).notes == ()


def test_an_empty_class_says_what_is_there(tmp_path: Path) -> None:
    fill(tmp_path, *CLASSES)
    fill(tmp_path, "emu", "gnu", suffix=".heic")
    refused(tmp_path, "no images in emu, and 1 more such, got 10 .heic")


def test_what_is_left_out_is_counted_over_all_splits(tmp_path: Path) -> None:
    split(tmp_path, "train", "val", "test")
    fill(tmp_path, "train/cat", "test/dog", count=3, suffix=".heic")
    fill(tmp_path, "val", count=2)
    for name in ("train/labels.csv", "train/cat/.DS_Store", "train/__MACOSX/cat/a.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    data = load(tmp_path)
    assert data.left_out == {".heic": 6, ".csv": 1, "image outside the class folders": 2}
    assert describe_data("imagefolder", data) == (
        "imagefolder: 20 train, 20 val, 20 test images; 2 classes: cat, dog",
        "imagefolder: left out 6 .heic, 2 images outside the class folders, 1 .csv",
    )


def test_what_pillow_reads_is_used(tmp_path: Path) -> None:
    fill(tmp_path, *CLASSES, suffix=".jfif")
    fill(tmp_path, *CLASSES, suffix=".GIF")
    fill(tmp_path, *CLASSES, suffix=".avif")
    assert sum(sizes(load(tmp_path)).values()) == 60


def test_a_class_folder_may_be_a_link_but_not_to_another_class(tmp_path: Path) -> None:
    fill(tmp_path, "elsewhere", "photos/cat")
    (tmp_path / "photos" / "dog").symlink_to(tmp_path / "elsewhere")
    assert load(tmp_path / "photos").class_names == CLASSES
    (tmp_path / "photos" / "kitten").symlink_to(tmp_path / "photos" / "cat")
    refused(tmp_path / "photos", "no images in kitten")


# small classes


def test_classes_with_fewer_images_than_splits_are_named(tmp_path: Path) -> None:
    fill(tmp_path, *CLASSES, count=40)
    fill(tmp_path, "emu", count=2)
    data = load(tmp_path)
    counts = {name: Counter(s.files.labels)[2] for name, s in data.splits.items()}  # type: ignore[attr-defined]
    assert sum(counts.values()) == 2
    lacking = [name for name, count in counts.items() if not count]
    note = "too few images of emu (2 in all): none are in "
    assert data.notes == tuple(note + name for name in lacking) != ()


def test_a_class_without_an_image_to_train_on(tmp_path: Path) -> None:
    fill(tmp_path, *CLASSES, count=20)
    fill(tmp_path, *(f"rare{number}" for number in range(40)), count=1)
    refused(tmp_path, "too few images in ROOT of rare", "(1 in all)", "none are left to train on")


def test_many_classes_are_not_all_named(tmp_path: Path) -> None:
    fill(tmp_path, *(f"{number:02}" for number in range(11)))
    (line,) = describe_data("imagefolder", load(tmp_path))
    assert line.endswith("11 classes: 00, 01, 02 and 8 more")
