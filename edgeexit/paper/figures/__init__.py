"""The paper's figures, drawn for any trained networks, with the numbers in them.

There is one file per figure; the other files are shared by all figures.
"""

from edgeexit.paper.figures.choosing import default_accuracy
from edgeexit.paper.figures.making import Plan, make_figures, plan_figures
from edgeexit.paper.figures.registry import (
    Drawn,
    FigureKind,
    FigureOptions,
    figure,
    list_figures,
    select_figures,
)
from edgeexit.paper.figures.sources import Source, find_sources
from edgeexit.paper.figures.subject import Subject, check_same_images

__all__ = [
    "Drawn",
    "FigureKind",
    "FigureOptions",
    "Plan",
    "Source",
    "Subject",
    "check_same_images",
    "default_accuracy",
    "figure",
    "find_sources",
    "list_figures",
    "make_figures",
    "plan_figures",
    "select_figures",
]
