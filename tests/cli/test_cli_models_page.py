"""docs/reference/networks.md has what ``edgeexit models --markdown`` prints."""

from __future__ import annotations

from pathlib import Path

from edgeexit.cli.models import BackboneInfo, branch_infos, registry_tables
from edgeexit.cli.terminal import markdown
from edgeexit.models.registry import backbone_entry

PAGE = Path(__file__).parents[2] / "docs/reference/networks.md"
BEGIN, END = "<!-- registry -->\n", "<!-- /registry -->"


def test_the_page_lists_what_is_registered(registered_backbones: list[BackboneInfo]) -> None:
    before, begin, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    block, end, after = rest.partition(END)
    assert begin, f"{PAGE.name} has no line {BEGIN.strip()}"
    assert end, f"{PAGE.name} has no line {END}"
    assert BEGIN not in before + after, f"{PAGE.name} has {BEGIN.strip()} twice"
    own = [  # other tests register networks of theirs
        info
        for info in registered_backbones
        if backbone_entry(info.name).build.__module__.startswith("edgeexit.")
    ]
    expected = "\n\n".join(map(markdown, registry_tables(own, branch_infos())))
    assert block.strip() == expected, (
        "the tables are not those of the registry: put the output of "
        f"'edgeexit models --markdown' between {BEGIN.strip()} and {END}"
    )
