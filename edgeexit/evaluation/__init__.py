"""Evaluation of trained networks: predictions of every exit, and adaptive accuracy."""

from edgeexit.evaluation.adaptive import (
    AdaptiveReport,
    ExitReport,
    evaluate_adaptive,
    leaving_exits,
    routed,
)
from edgeexit.evaluation.bundle_predictions import predict_bundle
from edgeexit.evaluation.path_costs import PathCosts
from edgeexit.evaluation.predictions import ExitPredictions, predict

__all__ = [
    "AdaptiveReport",
    "ExitPredictions",
    "ExitReport",
    "PathCosts",
    "evaluate_adaptive",
    "leaving_exits",
    "predict",
    "predict_bundle",
    "routed",
]
