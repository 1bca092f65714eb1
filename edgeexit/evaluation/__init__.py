"""What a trained network is worth: predictions of every exit, adaptive accuracy, thresholds."""

from edgeexit.evaluation.adaptive import (
    AdaptiveReport,
    ExitReport,
    evaluate_adaptive,
    leaving_exits,
)
from edgeexit.evaluation.bundle_predictions import predict_bundle
from edgeexit.evaluation.front import Front, Setting
from edgeexit.evaluation.grids import confidence_grids
from edgeexit.evaluation.path_costs import PathCosts
from edgeexit.evaluation.predictions import ExitPredictions, predict
from edgeexit.evaluation.selection import Limits, best_setting
from edgeexit.evaluation.thresholds import search_thresholds

__all__ = [
    "AdaptiveReport",
    "ExitPredictions",
    "ExitReport",
    "Front",
    "Limits",
    "PathCosts",
    "Setting",
    "best_setting",
    "confidence_grids",
    "evaluate_adaptive",
    "leaving_exits",
    "predict",
    "predict_bundle",
    "search_thresholds",
]
