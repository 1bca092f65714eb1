"""OpenVINO: Intel's engine for x86 CPUs, its GPUs and NPUs."""
