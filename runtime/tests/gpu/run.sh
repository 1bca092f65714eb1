#!/usr/bin/env bash
# Runs the tests that need a CUDA device, and writes gpu_report.txt, to be sent back.
# Usage: run.sh [arguments of pytest]. PYTHON names an interpreter that has edgeexit-runtime,
# onnxruntime, onnx, pytest, pycuda, and tensorrt or tensorrt-rtx.
set -uo pipefail
cd "$(dirname "$0")/../../.."
python=${PYTHON:-python3}
report=$PWD/gpu_report.txt
{
    date -u
    git rev-parse HEAD 2>/dev/null
    uname -srm
    cat /etc/nv_tegra_release 2>/dev/null
    nvidia-smi 2>/dev/null
    "$python" --version
    "$python" -m pip list 2>/dev/null | grep -iE '^(numpy|onnx|onnxruntime|pycuda|tensorrt|edgeexit)'
} | tee "$report"
"$python" -m pytest -m gpu -rA -s -v runtime/tests/gpu "$@" 2>&1 | tee -a "$report"
status=${PIPESTATUS[0]}
echo "report: $report"
exit "$status"
