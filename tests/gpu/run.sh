#!/usr/bin/env bash
# Runs the kit that 'make gpu-kit' has collected, in this folder, without a network.
# Usage: run.sh [options of kit.py, such as --seconds 500, the installation included].
# PYTHON chooses the interpreter.
set -euo pipefail
cd "$(dirname "$0")"
python=${PYTHON:-python3}
pip="$python -m pip --disable-pip-version-check --quiet install --no-index --no-deps --target site"
if [ ! -e installed ]; then
    cat piece.* | tar x --no-same-owner
    $pip wheels/*.whl
    cuda=${CUDA_ROOT:-/usr/local/cuda}
    tar xz --no-same-owner -f wheels/pycuda-*.tar.gz
    # what PyCUDA's configure.py would write; it is as slow with -O2, and takes longer to build
    cat >"$(echo pycuda-*/)siteconf.py" <<EOF
CUDA_ENABLE_CURAND = False
CUDA_INC_DIR = ["$cuda/include"]
CUDADRV_LIB_DIR = ["$cuda/lib64/stubs", "$cuda/lib64", "$cuda/lib"]
CXXFLAGS = ["-O0", "-g0", "-w"]
EOF
    $pip --no-build-isolation ./pycuda-*/
    mkdir -p source
    tar xz --no-same-owner -f wheels/source.tar.gz -C source
    touch installed
fi
PYTHONPATH=$PWD/site exec "$python" source/tests/gpu/kit.py --spent $SECONDS "$@"
