#!/usr/bin/env bash
# Builds the host's CUDA driver and PyCUDA in .venv-cuda, and runs this folder's tests on them.
# Usage: run.sh [arguments of pytest]. PYTHON chooses the interpreter.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../../.."
venv=$PWD/.venv-cuda
pycuda=2026.1
cuda_headers="nvidia-cuda-runtime==13.0.* nvidia-cuda-profiler-api==13.0.*"

skip() {
    echo "test-cuda: SKIPPED: $1" >&2
    [ -z "${CI:-}" ] || exit 1 # there nobody would read it
    exit 0
}

for tool in gcc g++; do
    command -v "$tool" >/dev/null || skip "$tool is not installed"
done

if [ ! -x "$venv/bin/python" ]; then
    "${PYTHON:-python3}" -m venv "$venv"
fi
python=$venv/bin/python
pip="$python -m pip --disable-pip-version-check"
"$python" -c 'import sysconfig, pathlib; pathlib.Path(sysconfig.get_path("include"), "Python.h").stat()' \
    2>/dev/null || skip "Python's headers are not installed (python3-dev)"

# headers of CUDA 13: the toolkit's, or those of the wheels
headers=
for folder in ${CUDA_HOME:+"$CUDA_HOME/include"} /usr/local/cuda/include "$venv/headers/nvidia/cu13/include"; do
    if [ -f "$folder/cudaProfiler.h" ] && grep -q "define CUDA_VERSION 13" "$folder/cuda.h"; then
        headers=$folder
        break
    fi
done
if [ -z "$headers" ]; then
    # shellcheck disable=SC2086
    $pip install --quiet --no-deps --target "$venv/headers" $cuda_headers ||
        skip "no CUDA 13 headers in /usr/local/cuda, and their wheels cannot be had"
    headers=$venv/headers/nvidia/cu13/include
fi

mkdir -p "$venv/host"
gcc -shared -std=gnu11 -O1 -g -Wall -Wextra -Werror -fPIC -pthread -I"$headers" \
    -Wl,-soname,libcuda.so.1 "$here"/driver/*.c -o "$venv/host/libcuda.so.1.new"
mv "$venv/host/libcuda.so.1.new" "$venv/host/libcuda.so.1"
ln -sf libcuda.so.1 "$venv/host/libcuda.so"

if [ ! -e "$venv/installed" ]; then
    $pip install --quiet -e "./runtime[cpu,images,testing]" setuptools wheel
    build=$(mktemp -d)
    trap 'rm -rf "$build"' EXIT
    $pip download --quiet --no-deps --no-build-isolation --no-binary pycuda -d "$build" "pycuda==$pycuda"
    tar xzf "$build"/pycuda-*.tar.gz -C "$build"
    # what PyCUDA's configure.py would write; it is as slow with -O2, and takes longer to build
    cat >"$build/pycuda-$pycuda/siteconf.py" <<EOF
CUDA_ENABLE_CURAND = False
CUDA_INC_DIR = ["$headers"]
CUDADRV_LIB_DIR = ["$venv/host"]
CXXFLAGS = ["-O0", "-g0", "-w"]
EOF
    $pip install --quiet --no-build-isolation "$build/pycuda-$pycuda"
    # the real classes, which the double is compared with
    for package in tensorrt-rtx tensorrt-cu12-bindings==10.3.0; do
        $pip install --quiet "$package" || echo "test-cuda: no $package, test_tensorrt_api.py skips" >&2
    done
    touch "$venv/installed"
fi

# and what make test-gpu runs on a device, on the doubles
gpu=("$here/../gpu/test_cuda_gpu.py" "$here/../gpu/test_tensorrt_gpu.py")
EDGEEXIT_HOST_CUDA=$venv/host/libcuda.so.1 "$python" -m pytest "$here" "${gpu[@]}" --engines double "$@"
