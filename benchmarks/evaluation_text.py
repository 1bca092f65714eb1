"""The text of docs/results/evaluation.md; comments on numbers describe the run shown there."""

CAPTIONS = {
    "confidence": (
        "Fig. 4: confidence of each exit",
        """At every exit, at least three quarters of the right answers have a softmax value above
0.95; wrong answers are spread from 0.3 to 1. The final exit separates them best: of its 15 to 29
wrong answers one is above 0.9, of the branches' 19 to 31 it is 2 to 9. The paper compares with
naive branches, which are not among these.""",
    ),
    "patterns": (
        "Fig. 5: the patterns at one accuracy",
        """In all three, more than nine in ten images leave at exit1, as most do in the paper, and
their costs are within 4 % of each other. 2+2 is the cheapest, then 1+3, then 3+1: the paper has the
decreasing pattern first. The second exit of 1+3 is off.""",
    ),
    "front": (
        "Figs. 6 to 8: accuracy against average cost",
        """All fronts lie at 4.3 to 6.1 million MACs, the backbones at 10.1. 3+1 begins lowest and
ends highest, above its own backbone. Lines go up and down because thresholds come from val. The
backbones alone, the hollow points, differ by four points between networks: more than their fronts
do, so the differences reflect single trainings rather than patterns.""",
    ),
    "classes": (
        "Fig. 9: class by class",
        """8 and 9 are the classes whose images leave least at exit1, 89 % of them, and the least
accurate ones. 8 loses most by early exit: 4 of its 35 images. All images of 0, 2, 3 and 7 leave at
exit1. This figure and the next two show 3+1.""",
    ),
    "groups": (
        "Fig. 10: easy classes and hard ones",
        """Left: the larger the share of a class that leaves at exit1, the more accurate the class,
as in the paper; four classes leave completely and cannot be ordered. Right: if every image left at
exit1, 4.5 points would be lost; thresholds lose half of that, for 5 % more MACs.""",
    ),
    "examples": (
        "Fig. 11: which images leave where",
        """Images that leave late look cut off or ambiguous to the eye too. Of the six that left at
exit2 the first exit would have been wrong on four; of the five that reached the final exit the
backbone is right on three, and exit1 would have been right on one, with a confidence of 38 %.""",
    ),
}
"""By figure: its heading and a comment."""

REPORT = """# Thresholds, figures and knowledge consistency on the digits

Written by `make results` (`benchmarks/evaluation_results.py`), which runs `edgeexit tune`,
`export`, `figures` and `consistency` as a user would; the tables are in
[evaluation.json](evaluation.json) as well, the numbers of the pictures as CSV in
`evaluation/`. The tables are generated; the comments on them and on the pictures describe the run
shown here.

ResNet-20 with two exits on scikit-learn's handwritten digits at 16x16 pixels. The paper's networks
are for ImageNet and CIFAR-100: results of a small network on an easy data set neither confirm nor
refute its findings.

For thresholds and figures the networks are those of seed 0 in [training.md](training.md), which
were trained on 138 images to make the task harder. Thresholds are chosen on {validation} other
images (val) and evaluated on {samples} further ones (test), where one image is {step} points and
brackets are 95 % bootstrap intervals. Each pattern is a single training here; over five,
[training.md](training.md) could not tell 3+1 from the others.

## The front

`edgeexit tune --front --plot`, exact over all combinations of the grid. {accuracy} % is the highest
accuracy on val that all three reach, less 0.2 points and rounded down.

{front}

On val, every pattern is as accurate as its own backbone for less than half of the MACs, and 2+2 and
3+1 get a point above the plain backbone for 53 and 60 % of its MACs. At {accuracy} % on val the
three cost nearly the same. 3+1 reaches the highest accuracy, on val and on test, but it is the most
expensive of the three at the common accuracy, where the paper has the decreasing pattern ahead.
With 359 test images the intervals are five points wide and overlap everywhere: no pattern is shown
to be better. A choice made on val need not hold on test: the settings of 1+3 that are the most
accurate on val are its least accurate ones on test.

{tuned_pictures}

## Effect of switching exits off

At an exit with a threshold of *off* no image leaves, and its branch is not run. The table has the
choice for {accuracy} % on val; the lowest cost if the branch of an exit that is off were still run
(a file of costs without `branches`); and the choice if no image may pay for the whole network with
both branches (`--max-path-cost`). Costs are those on val, where they are chosen.

{switching}

Ten of the 104 settings on the fronts have exit2 off, none exit1. Only 1+3, whose second branch is
the expensive one, gains: so few images reach it that it costs more than it saves, about 1 % of the
average. The others keep both exits at this accuracy and lose nothing. A limit on the worst path
costs 1 % where it changes anything: with a threshold of 0 at exit2, all remaining images leave
there.

## Temperatures

`edgeexit tune --calibrate` fits a temperature per exit on half of the val images and chooses on the
other half, on which the expected calibration error is measured. The second table shows the results
on test of thresholds without a loss against the network's own backbone: chosen on all of val, and
after calibration.

{calibration}

{calibrated}

Branches are overconfident (temperatures of 1.4 to 1.7), the final exits are not (about 1). The
error falls at six of nine exits, rises slightly at two final ones, and by 1.3 points at exit2 of
3+1: with 650 images to fit on and as many to evaluate on, it is a noisy figure itself. Calibration
does not improve thresholds: cost and accuracy on test stay within the intervals. Each exit has its
own threshold, which compensates for confidences that are too high, and calibration leaves only half
of val to choose on.

## Thresholds by MACs and by milliseconds

The networks as FP32 bundles on ONNX Runtime, {cpu}, one thread per graph, batch 1, on a machine
that also did other work. `edgeexit tune --engine-dir ... --objective latency` measured each path
three times; the table has medians, over the plain backbone of the same measurement.

{paths}

Both choices for {accuracy} % on val, evaluated on test at the times of all measurements. The last
column counts the settings on the front by milliseconds that are not on the front by MACs.

{objectives}

For a network this small Eq. 5 is too optimistic. An image that leaves at exit1 takes about 0.6 of
the backbone's time rather than 0.44, and the more blocks the first branch has, the more: they have
few MACs, but many small operators. An image that leaves at exit2 takes longer than the plain
backbone, one that reaches the final exit takes half as long again. On average early exit saves 30
to 40 % of the time rather than 53 to 55 % of the MACs, and by time 1+3 is the cheapest pattern, 3+1
the most expensive. Still, the choice at this accuracy is the same by both measures, in every
measurement: nearly every image leaves at exit1 either way. Elsewhere on the fronts a few settings
differ.

{figures}

## Knowledge consistency (Section V-G, Figs. 12 and 13)

`edgeexit consistency` with N = 0 to 3 and 3 fits each, batches of {fit_batch}, on networks trained
on all {train_images} training images: 138 are too few to fit the reconstructions. A plain ResNet-20
of one seed is the baseline, right on {baseline} % of the test images. {seeds} networks of each
pattern, and {seeds} more plain ones, were trained with other seeds: with the baseline's seed they
would start from the baseline's weights. The mean over 3 fits counts as one value; ± is the standard
deviation over the {seeds} trainings, but for *the baseline itself* over its fits. *std of fits* is
the standard deviation over fits of one network.

Accuracy of the baseline with reconstructed features, in percent. With its own features shuffled
across images, the control, it is {control} %; chance level is 10 %.

{knowledge}

![accuracy with reconstructed features](evaluation/consistency.png)

Variance of the baseline's features that the reconstruction leaves unexplained, in percent, over the
training images of the last epoch.

{unexplained}

Differences of two rows over all N, seed by seed, with Student's t test: *yes* is p <= 0.05.

{apart}

**The patterns cannot be told apart.** After stage1 all are within a point of the baseline, plain
networks of other seeds included. After stage2 plain networks are above those with branches by half
a point, most at N = 1, as if branches disrupted something; but three trainings differ by as much.
The paper's finding that the decreasing pattern is the most consistent one in the early stages is
not reproduced: 3+1 is ahead by 0.1 to 0.2 points after stage1 and behind by as much after stage2.
Of these 24 tests one says *yes*, by 0.3 points of variance, and one in twenty does so by chance.

In the paper N = 0 is the lowest; here it is the highest after stage2, and N = 1 the lowest, even
for the baseline itself. One reason is the fits, which have 670 steps: with non-linear layers they
do not fully recover the features that they started from (3.5 % unexplained at N = 0, 10.5 % at N
= 3 after stage1; 7 % and 24 % after stage2). Other networks' features are reconstructed better
with more layers, and come close to that floor. On digits accuracy hardly depends on it: with a
quarter of the variance missing, the baseline is still right on 96 %. A harder data set would be
needed to see more.
"""
