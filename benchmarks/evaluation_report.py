"""The output of evaluation_results.py's commands as Markdown, JSON and pictures."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeexit_runtime.gate import NEVER
from edgeexit_runtime.system.machine import cpu_model
from evaluation_text import CAPTIONS, REPORT
from knowledge import Knowledge, pool_studies
from report_files import Row, markdown, spread, write_results

if TYPE_CHECKING:
    from edgeexit.evaluation import PathCosts

FOLDER = "evaluation"
SHOWN_OF = "3+1"
"""Figures that exist per network are shown for this one only, except Fig. 4."""
WIDTH = 1200
"""Of pictures in the repository, in pixels, at most."""
SPLITS = ("val", "test")

HEADS: dict[str, Row] = {
    "front": (
        *("", "thresholds for", "γ exit1", "γ exit2", "leaving, % (test)"),
        *("accuracy, % (val)", "accuracy, % (test)", "MACs over plain (test)"),
    ),
    "switching": (
        *("", "settings on the front", "with exit1 off", "with exit2 off", "γ of the choice"),
        *("its MACs over plain", "were branches always run"),
        *("γ, worst path limited", "its MACs over plain"),
    ),
    "calibration": ("", "exit", "temperature", "error before, %", "error after, %"),
    "calibrated": (
        *("", "temperatures", "γ exit1", "γ exit2", "leaving, % (test)"),
        *("accuracy, % (test)", "MACs over plain (test)"),
    ),
    "paths": ("", "path to", "MACs over plain", "time over plain"),
    "objectives": (
        *("", "chosen by", "γ exit1", "γ exit2", "leaving, % (test)", "accuracy, % (test)"),
        *("MACs over plain", "time over plain", "on the front by ms alone"),
    ),
}


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """The output of the commands.

    Attributes:
        accuracy: on val, that all networks are compared at.
        plain: of ``eval``, by split.
        fronts: of ``tune --json``, by pattern.
        tuned: of every ``tune``, by pattern and by what it was asked.
        figures: of ``figures --json``.
        studies: of ``consistency --json``, the baseline itself first, then seed by seed.
        work: the folder with what they wrote.
        setting: how networks were trained.
    """

    accuracy: float
    plain: dict[str, dict[str, Any]]
    fronts: dict[str, list[dict[str, Any]]]
    tuned: dict[str, dict[str, Any]]
    figures: dict[str, Any]
    studies: list[dict[str, Any]]
    work: Path
    setting: dict[str, Any]


def write_report(output: Path, evaluation: Evaluation) -> None:
    """Write ``evaluation.md``, ``evaluation.json`` and the folder ``evaluation`` to ``output``."""
    knowledge = pool_studies(evaluation.studies)
    by_pattern: dict[str, Callable[[str, Mapping[str, Any]], Iterator[Row]]] = {
        "switching": switching_rows,
        "calibration": calibration_rows,
        "calibrated": calibrated_rows,
        "paths": path_rows,
        "objectives": objective_rows,
    }
    tables = {"front": [HEADS["front"], *front_rows(evaluation)]}
    for table, rows_of in by_pattern.items():
        rows = (row for name, said in evaluation.tuned.items() for row in rows_of(name, said))
        tables[table] = [HEADS[table], *rows]
    tables["knowledge"] = knowledge.rows("accuracy")
    tables["unexplained"] = knowledge.rows("unexplained")
    tables["apart"] = knowledge.differences()
    pictures = copy_pictures(evaluation, output / FOLDER)
    pictures["consistency"] = draw_knowledge(knowledge, output / FOLDER)
    figures = "\n\n".join(
        f"### {CAPTIONS[kind][0]}\n\n"
        + "\n\n".join(f"![{kind}]({FOLDER}/{name})" for name in names)
        + f"\n\n{CAPTIONS[kind][1]}"
        for kind, names in pictures.items()
        if kind not in ("tune", "consistency")
    )
    settings = knowledge.report.settings
    text = REPORT.format(
        **{name: markdown(rows) for name, rows in tables.items()},
        figures=figures,
        tuned_pictures="\n\n".join(f"![front]({FOLDER}/{name})" for name in pictures["tune"]),
        accuracy=f"{100 * evaluation.accuracy:.1f}",
        samples=evaluation.plain["test"]["samples"],
        validation=evaluation.plain["val"]["samples"],
        step=f"{100 / evaluation.plain['test']['samples']:.2f}",
        cpu=cpu_model(),
        seeds=knowledge.report.runs,
        train_images=settings.train_images,
        baseline=f"{100 * knowledge.report.baseline_accuracy:.2f}",
        control=knowledge.control,
        fit_batch=settings.fit.batch_size,
    )
    shown = {name: [list(map(str, row)) for row in rows] for name, rows in tables.items()}
    values = {
        "setting": evaluation.setting,
        "accuracy": evaluation.accuracy,
        "tables": shown,
        "fronts": evaluation.fronts,
        "consistency": knowledge.report,
    }
    write_results(output, "evaluation", text, values)


def front_rows(evaluation: Evaluation) -> list[Row]:
    """Return a row for the plain backbone, and three for each pattern."""
    plain = [f"{100 * evaluation.plain[s]['backbone_accuracy']:.2f}" for s in ("val", "test")]
    rows: list[Row] = [("plain", "", "", "", "", *plain, "1.000")]
    asked = {
        "common": f"{100 * evaluation.accuracy:.1f} % on val",
        "own": "no loss against its own backbone",
        "highest": "the highest accuracy",
    }
    for name, said in evaluation.tuned.items():
        rows += [
            (name, text, *gammas(said[key]), leaving(said[key]), *accuracies(said[key]), ratio)
            for key, text in asked.items()
            for ratio in [f"{said[key]['test']['macs_ratio']:.3f}"]
        ]
        alone = [f"{100 * said['own'][split]['backbone_accuracy']:.2f}" for split in SPLITS]
        rows.append((name, "its backbone alone", "", "", "", *alone, "1.000"))
    return rows


def gammas(said: Mapping[str, Any]) -> list[str]:
    return ["off" if value == NEVER else f"{value:.3f}" for value in said["thresholds"].values()]


def leaving(said: Mapping[str, Any]) -> str:
    return " / ".join(f"{100 * exit_['share']:.1f}" for exit_ in said["test"]["exits"])


def accuracies(said: Mapping[str, Any]) -> list[str]:
    """Return the accuracy on val, and that on test with its interval, in percent."""
    low, high = (100 * said["intervals"]["test"]["adaptive_accuracy"][k] for k in ("low", "high"))
    val, test = (100 * said[split]["adaptive_accuracy"] for split in SPLITS)
    return [f"{val:.2f}", f"{test:.2f} [{low:.1f}, {high:.1f}]"]


def switching_rows(name: str, said: Mapping[str, Any]) -> Iterator[Row]:
    """Yield the effect of switching exits off for one network."""
    front = said["common"]["front"]
    off = [sum(point["thresholds"][e] == NEVER for point in front) for e in ("exit1", "exit2")]
    baseline = said["common"]["objective"]["baseline"]
    cheapest = said["common"]["average_cost"]["val"] / baseline
    kept = said["always run"]["average_cost"]["val"] / baseline
    worst = said["worst path"]
    one = ["cannot be reached", ""]
    if worst is not None:
        one = [" / ".join(gammas(worst)), f"{worst['average_cost']['val'] / baseline:.3f}"]
    shown = " / ".join(gammas(said["common"]))
    yield (name, len(front), *off, shown, f"{cheapest:.3f}", f"{kept:.3f}", *one)


def calibration_rows(name: str, said: Mapping[str, Any]) -> Iterator[Row]:
    """Yield each exit's temperature, and its calibration errors before and after."""
    found = said["calibrated"]["calibration"]
    for exit_, temperature in found["temperatures"].items():
        before, after = (
            100 * found[f"expected_calibration_error_{when}"][exit_] for when in ("before", "after")
        )
        yield (name, exit_, f"{temperature:.2f}", f"{before:.2f}", f"{after:.2f}")


def calibrated_rows(name: str, said: Mapping[str, Any]) -> Iterator[Row]:
    """Yield the results of thresholds without temperatures and with them."""
    for key, text in (("own", "none"), ("calibrated", "fitted")):
        answer = said[key]
        ratio = f"{answer['test']['macs_ratio']:.3f}"
        yield (name, text, *gammas(answer), leaving(answer), accuracies(answer)[1], ratio)


def costs_of(said: Mapping[str, Any]) -> PathCosts:
    """Return the measurement on which these thresholds were chosen."""
    from edgeexit.evaluation import PathCosts

    given = said["objective"]
    return PathCosts.measured(given["paths"], given["branches"], given["baseline"], given["unit"])


def path_rows(name: str, said: Mapping[str, Any]) -> Iterator[Row]:
    """Yield each path of a bundle over the plain backbone of the same measurement."""
    macs = said["bundle, MACs"]["objective"]
    for exit_, cost in macs["paths"].items():
        measured = [
            given["paths"][exit_] / given["baseline"]
            for given in (answer["objective"] for answer in said["bundle, ms"])
        ]
        yield (name, exit_, f"{cost / macs['baseline']:.3f}", spread(measured, 3))


def objective_rows(name: str, said: Mapping[str, Any]) -> Iterator[Row]:
    """Yield the thresholds by MACs, and those by milliseconds, at the times of all measurements.

    Equal choices of several measurements share a row.
    """
    measurements = said["bundle, ms"]
    by_macs = said["bundle, MACs"]
    choices = {("MACs", *gammas(by_macs)): [by_macs]}
    for answer in measurements:
        choices.setdefault(("ms", *gammas(answer)), []).append(answer)
    fronts = [{tuple(point["thresholds"].values()) for point in a["front"]} for a in measurements]
    of_macs = {tuple(point["thresholds"].values()) for point in by_macs["front"]}
    others = [f"{len(front - of_macs)} of {len(front)}" for front in fronts]
    for (text, *thresholds), answers in choices.items():
        chosen = answers[0]
        times = [time_ratio(chosen, costs_of(answer)) for answer in measurements]
        ratio = f"{chosen['test']['macs_ratio']:.3f}"
        by = text if text == "MACs" else f"ms, {len(answers)} of {len(measurements)} times"
        front = "" if text == "MACs" else ", ".join(dict.fromkeys(others))
        accuracy = accuracies(chosen)[1]
        yield (name, by, *thresholds, leaving(chosen), accuracy, ratio, spread(times, 3), front)


def time_ratio(chosen: Mapping[str, Any], costs: PathCosts) -> float:
    """Return the cost of thresholds on test over the plain backbone's."""
    paid = costs.paid(chosen["thresholds"])
    average = sum(exit_["share"] * paid[exit_["name"]] for exit_ in chosen["test"]["exits"])
    assert costs.baseline is not None
    return float(average / costs.in_unit(costs.baseline))


def copy_pictures(evaluation: Evaluation, folder: Path) -> dict[str, list[str]]:
    """Copy pictures, scaled down, and their numbers; return the pictures' names by figure."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    shown: dict[str, list[str]] = {"tune": []}
    for name in evaluation.tuned:
        shutil.copyfile(evaluation.work / f"front-{name}.csv", folder / f"tune-{name}.csv")
        shrink(evaluation.work / f"front-{name}.png", folder / f"tune-{name}.png")
        shown["tune"].append(f"tune-{name}.png")
    for figure in evaluation.figures["figures"]:
        kind, networks = figure["figure"], figure["networks"]
        if kind in ("classes", "groups", "examples") and networks != [SHOWN_OF]:
            continue
        for file in map(Path, figure["files"]):
            if file.suffix == ".csv":
                shutil.copyfile(file, folder / file.name)
            elif file.suffix == ".png":
                shrink(file, folder / file.name)
                shown.setdefault(kind, []).append(file.name)
    return shown


def shrink(source: Path, target: Path) -> None:
    """Write a picture for print in the size of a screen."""
    from PIL import Image

    with Image.open(source) as image:
        width = min(WIDTH, image.width)
        height = round(image.height * width / image.width)
        small = image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
    small.save(target, optimize=True)


def draw_knowledge(knowledge: Knowledge, folder: Path) -> list[str]:
    from edgeexit.paper.consistency import plot_consistency, write_csv

    path = folder / "consistency.png"
    plot_consistency(knowledge.drawn, [path], repeated="trained networks")
    shrink(path, path)
    write_csv(knowledge.drawn, folder / "consistency.csv")
    return [path.name]
