"""What a bundle takes on this device, measured, beside what Eq. 5 says it costs."""

from edgeexit.bench.advice import Advice
from edgeexit.bench.explanation import Explanation
from edgeexit.bench.images import (
    BenchImages,
    images_from_dataset,
    images_from_folder,
    images_from_npz,
)
from edgeexit.bench.page import check_page_path, write_page
from edgeexit.bench.plot import check_plot_path, plot_report, plot_reports
from edgeexit.bench.render.json_report import report_json
from edgeexit.bench.render.verdict import verdict
from edgeexit.bench.report import (
    BenchOptions,
    BenchReport,
    BundleInfo,
    DeviceInfo,
    PartTiming,
    PathTiming,
    load_report,
)
from edgeexit.bench.results.mixture import IsoAccuracy, Mixture, MixtureExit, Run
from edgeexit.bench.run import run_bench
from edgeexit.bench.scenarios import Scenarios
from edgeexit.statistics.percentiles import Percentile

__all__ = [
    "Advice",
    "BenchImages",
    "BenchOptions",
    "BenchReport",
    "BundleInfo",
    "DeviceInfo",
    "Explanation",
    "IsoAccuracy",
    "Mixture",
    "MixtureExit",
    "PartTiming",
    "PathTiming",
    "Percentile",
    "Run",
    "Scenarios",
    "check_page_path",
    "check_plot_path",
    "images_from_dataset",
    "images_from_folder",
    "images_from_npz",
    "load_report",
    "plot_report",
    "plot_reports",
    "report_json",
    "run_bench",
    "verdict",
    "write_page",
]
