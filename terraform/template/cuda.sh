#!/bin/sh
# Runs a command with the libcuda that fits the driver of this machine (docs/decisions/0043 in the source).
#
# torch needs CUDA 13, which drivers from 580 on support. Drivers from 535 on support it by the libcuda of NVIDIA's
# compatibility package, which newer drivers refuse. So it is only put first where the driver is an older one.
set -eu
file=${NVIDIA_DRIVER_FILE:-/proc/driver/nvidia/version}
compat=/usr/local/cuda/compat

driver=
if [ -r "$file" ]; then
  driver=$(sed -n 's/^NVRM version:.* \([0-9]\{3,\}\)\.[0-9.]\{1,\} .*/\1/p' "$file")
fi
if [ -n "$driver" ] && [ "$driver" -ge 535 ] && [ "$driver" -lt 580 ]; then
  LD_LIBRARY_PATH=$compat${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
  export LD_LIBRARY_PATH
fi
exec "$@"
