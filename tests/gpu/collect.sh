#!/usr/bin/env bash
# Collects in gpu_kit/ all that a machine with a GPU needs and no network can bring it: wheels,
# the sources with their tests, and run.sh. The large ones are in pieces of at most 60 MB.
# Usage: collect.sh [VERSION of that machine's Python]; it has to be x86-64, with torch, torchvision,
# onnx, onnxscript, scikit-learn, matplotlib, jinja2 and pytest. PYTHON is an interpreter here.
set -euo pipefail
cd "$(dirname "$0")/../.."
version=${1:-3.12}
kit=$PWD/gpu_kit
pip="${PYTHON:-python3} -m pip --disable-pip-version-check --quiet"
rm -rf "$kit"
mkdir -p "$kit/wheels"

platforms=
for platform in manylinux_2_28_x86_64 manylinux_2_27_x86_64 manylinux_2_17_x86_64 manylinux2014_x86_64; do
    platforms="$platforms --platform $platform"
done
# shellcheck disable=SC2086
$pip download --no-deps --only-binary=:all: --implementation cp --python-version "$version" \
    $platforms -d "$kit/wheels" click rich markdown-it-py mdurl pygments tomli-w onnxsim \
    onnxruntime-gpu tensorrt-rtx-cu13-bindings tensorrt-rtx-cu13-libs pytools platformdirs \
    siphash24 mako markupsafe nvidia-ml-py
# of pure Python, and published as sources alone; the first brings the classes of the second
$pip wheel --no-deps -w "$kit/wheels" tensorrt-rtx tensorrt-rtx-cu13 . ./runtime
# compiled there: it takes Python's headers, a C++ compiler and CUDA's headers
$pip download --no-deps --no-binary pycuda -d "$kit/wheels" pycuda==2026.1

git archive --format tar.gz -o "$kit/wheels/source.tar.gz" HEAD
tar cf - -C "$kit" wheels | split -b 60000000 -d - "$kit/piece."
rm -r "$kit/wheels"
cp tests/gpu/run.sh "$kit"
du -h "$kit"/*
