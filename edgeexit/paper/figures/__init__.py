"""The paper's figures, drawn for any trained networks, with the numbers in them.

There is one file per figure; the other files are shared by all figures.
"""

from edgeexit.paper.figures.choosing import default_accuracy
from edgeexit.paper.figures.making import Plan, WrittenFigure, make_figures, plan_figures
from edgeexit.paper.figures.registry import (
    Drawn,
    FigureKind,
    FigureOptions,
    joint_figure,
    list_figures,
    network_figure,
    select_figures,
)
from edgeexit.paper.figures.sources import Source, find_sources
from edgeexit.paper.figures.subject import Subject, check_same_images
from edgeexit.paper.figures.writing import write_figure

__all__ = [
    "Drawn",
    "FigureKind",
    "FigureOptions",
    "Plan",
    "Source",
    "Subject",
    "WrittenFigure",
    "check_same_images",
    "default_accuracy",
    "find_sources",
    "joint_figure",
    "list_figures",
    "make_figures",
    "network_figure",
    "plan_figures",
    "select_figures",
    "write_figure",
]
