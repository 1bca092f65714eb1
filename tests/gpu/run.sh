#!/usr/bin/env bash
# Runs the kit that 'make gpu-kit' has collected, in this folder, without a network.
# Usage: run.sh [options of kit.py, such as --seconds 500]. PYTHON chooses the interpreter.
set -euo pipefail
cd "$(dirname "$0")"
python=${PYTHON:-python3}
pip="$python -m pip --disable-pip-version-check --quiet install --no-index --no-deps --target site"
if [ ! -e installed ]; then
    cat piece.* | tar x
    $pip wheels/*.whl
    CUDA_ROOT=${CUDA_ROOT:-/usr/local/cuda} $pip --no-build-isolation wheels/pycuda-*.tar.gz
    mkdir source
    tar xzf wheels/source.tar.gz -C source
    touch installed
fi
PYTHONPATH=$PWD/site exec "$python" source/tests/gpu/kit.py "$@"
