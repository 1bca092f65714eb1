"""The words of docs/results/evaluation.md."""

CAPTIONS = {
    k: (k, "") for k in ("confidence", "patterns", "front", "classes", "groups", "examples")
}
REPORT = """# x
{accuracy} {samples} {validation} {step} {cpu}

{front}

{tuned_pictures}

{switching}

{calibration}

{calibrated}

{paths}

{objectives}

{figures}

{seeds} {train_images} {baseline} {control} {fit_batch}

{knowledge}

{unexplained}

{apart}
"""
