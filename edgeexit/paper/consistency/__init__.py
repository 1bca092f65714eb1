"""Knowledge consistency of a plain network with networks with branches (Section IV-C)."""

from edgeexit.paper.consistency.networks import TrainedNetwork, check_comparable, name_networks
from edgeexit.paper.consistency.options import StudyOptions, StudyProgress
from edgeexit.paper.consistency.plot import plot_consistency
from edgeexit.paper.consistency.reconstruction import FitSettings
from edgeexit.paper.consistency.record import Fit
from edgeexit.paper.consistency.report import Cell, ConsistencyReport, NetworkCells, write_csv
from edgeexit.paper.consistency.study import InterruptedStudyError, study_consistency
from edgeexit.training.comparison import Execution

__all__ = [
    "Cell",
    "ConsistencyReport",
    "Execution",
    "Fit",
    "FitSettings",
    "InterruptedStudyError",
    "NetworkCells",
    "StudyOptions",
    "StudyProgress",
    "TrainedNetwork",
    "check_comparable",
    "name_networks",
    "plot_consistency",
    "study_consistency",
    "write_csv",
]
