"""Knowledge consistency: how much of a plain network is in one with branches (Section IV-C)."""

from edgeexit.comparison import Execution
from edgeexit.consistency.networks import TrainedNetwork, check_comparable, name_networks
from edgeexit.consistency.options import StudyOptions
from edgeexit.consistency.plot import plot_consistency
from edgeexit.consistency.progress import StudyProgress
from edgeexit.consistency.reconstruction import FitSettings
from edgeexit.consistency.record import Fit
from edgeexit.consistency.report import Cell, ConsistencyReport, NetworkCells, write_csv
from edgeexit.consistency.study import InterruptedStudyError, study_consistency

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
