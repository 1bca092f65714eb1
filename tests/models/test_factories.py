"""Models by name: what is imported, what is built, and what is answered to mistakes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest
from torch import nn

from edgeexit.errors import SpecError
from edgeexit.models.factories import create_model, import_factory, model_option

SOURCE = """
from torch import nn

CLASSES = 7
ready = nn.Linear(2, 3)

class Net(nn.Module):
    def __init__(self, num_classes=5):
        super().__init__()
        self.head = nn.Linear(4, num_classes)

    @staticmethod
    def small(**options):
        return Net(**options)

def fixed():
    return nn.Linear(4, CLASSES)

def broken(num_classes):
    raise ValueError("no weights\\nsecond line")

def forgetful():
    nn.Linear(4, 4)

def strict(**options):
    return fixed(**options)
"""

Write = Callable[..., None]


@pytest.fixture
def write(own_folder: Path) -> Write:
    """``write(source, name)`` puts a module into the current folder."""

    def write(source: str = SOURCE, name: str = "factories_here") -> None:
        (own_folder / f"{name}.py").write_text(source)

    return write


def test_a_file_in_the_current_folder(write: Write) -> None:
    write()
    factory = import_factory("factories_here:Net")
    assert factory.__name__ == "Net"
    assert create_model("factories_here:Net", 3).head.out_features == 3  # type: ignore[union-attr]


def test_the_current_folder_comes_before_installed_packages(write: Write) -> None:
    write("from torch import nn\ndef make():\n    return nn.Linear(1, 2)\n", "antigravity")
    assert isinstance(create_model("antigravity:make", 2), nn.Linear)


def test_a_module_may_import_its_neighbour_later(write: Write) -> None:
    write("def make():\n    from neighbour_here import Net\n    return Net()\n", "later_here")
    write(SOURCE, "neighbour_here")
    assert type(create_model("later_here:make", 3)).__name__ == "Net"


@pytest.mark.parametrize(
    ("reference", "classes"),
    [
        ("factories_here:Net", 3),
        ("factories_here:Net.small", 3),  # takes **options
        ("factories_here:fixed", 7),  # takes none
    ],
)
def test_num_classes_is_given_where_it_is_taken(write: Write, reference: str, classes: int) -> None:
    write()
    model = create_model(reference, 3)
    *_, head = model.modules()
    assert isinstance(head, nn.Linear)
    assert head.out_features == classes


def test_a_factory_and_a_module_serve_as_well_as_a_name() -> None:
    assert create_model(functools.partial(nn.Linear, 4, 5), 3).out_features == 5
    module = nn.Linear(4, 5)
    assert create_model(module, 3) is module


@pytest.mark.parametrize(
    "reference",
    ["factories_here", "", ":", "a:", ":b", "a:b:c", "a/b.py:make", "a b:c", "1a:b", "a..b:c"],
)
def test_malformed_references(reference: str) -> None:
    message = r"model .*: expected package\.module:factory, such as torchvision\.models:densenet121"
    with pytest.raises(SpecError, match=message):
        import_factory(reference)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("factory_here:Net", "there is no module factory_here, .*; did you mean factories_here?"),
        ("qqqqqq:Net", "there is no module qqqqqq, neither in the current folder .* installed?"),
        ("torchvision.modles:vgg", "there is no module torchvision.modles"),
        ("factories_here.nets:Net", "there is no module factories_here.nets"),
        ("factories_here:Nte", "factories_here has no Nte; did you mean Net"),
        ("factories_here:Net.tiny", "Net has no tiny; "),
        ("factories_here:qqqqqq", "factories_here has no qqqqqq; check the name"),
        ("factories_here:CLASSES", "expected a function or class .*, got a value of type int"),
        ("factories_here:ready", "got a Linear that is built already; write a function"),
    ],
)
def test_names_that_lead_nowhere(write: Write, reference: str, message: str) -> None:
    write()
    with pytest.raises(SpecError, match=message) as caught:
        import_factory(reference)
    assert "\n" not in str(caught.value)
    assert repr(reference) in str(caught.value)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1\n1 / 0", r"ZeroDivisionError: division by zero \(broken_here.py:2 `1 / 0`\)"),
        ("import no_such_thing", r"ModuleNotFoundError: No module named 'no_such_thing' \(broken"),
        ("def f(:", r"SyntaxError: "),
        ("raise SystemExit(3)", r"SystemExit: 3 \(broken_here.py:1 `raise "),
    ],
)
def test_a_module_that_raises(write: Write, source: str, message: str) -> None:
    write(source, "broken_here")
    expected = f"model 'broken_here:make': importing broken_here raised {message}"
    with pytest.raises(SpecError, match=expected) as caught:
        import_factory("broken_here:make")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("broken", r"broken\(num_classes=3\) raised ValueError: no weights \(factories_here.py:\d"),
        ("forgetful", r"forgetful\(\): expected an nn.Module, got a NoneType"),
        ("strict", r"strict\(num_classes=3\) raised TypeError: .*unexpected keyword argument"),
    ],
)
def test_a_factory_that_fails(write: Write, name: str, message: str) -> None:
    write()
    with pytest.raises(SpecError, match=f"factories_here:{message}") as caught:
        create_model(f"factories_here:{name}", 3)
    assert "\n" not in str(caught.value)
    with pytest.raises(SpecError, match=f"factories_here:{message}"):
        create_model(import_factory(f"factories_here:{name}"), 3)


@pytest.mark.parametrize(
    ("backbone", "option"),
    [
        ("torchvision.models:densenet121", "--model torchvision.models:densenet121"),
        ("a:b; rm -rf x", "--model package.module:factory"),
        ("__main__:make.<locals>.Net", "--model package.module:factory"),
        ("a:b\n", "--model package.module:factory"),
    ],
)
def test_what_to_type_holds_no_surprise(backbone: str, option: str) -> None:
    assert model_option(backbone) == option
