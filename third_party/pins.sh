# What launch/setup.sh downloads: exact versions and sha256 sums, in one place. Sourced, not run.
# shellcheck shell=bash disable=SC2034

# LibTorch: PyTorch's wheel holds the headers and libraries. It is unzipped, never installed into a Python, so any
# Python's pip can fetch the build for CPython 3.11.
PIN_TORCH_VERSION=2.11.0
PIN_TORCH_PYTHON=3.11
PIN_TORCH_ARCH=x86_64

# "name version sha256 file": libtorch_cpu.so of that wheel needs libcudart and libcupti, on machines without a GPU too.
PIN_WHEELS=(
  "torch 2.11.0 7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a torch-2.11.0-cp311-cp311-manylinux_2_28_x86_64.whl"
  "nvidia-cuda-runtime 13.0.96 7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548 nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl"
  "nvidia-cuda-cupti 13.0.85 4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8 nvidia_cuda_cupti-13.0.85-py3-none-manylinux_2_25_x86_64.whl"
)
PIN_WHEEL_PLATFORMS=(manylinux_2_28_x86_64 manylinux_2_25_x86_64 manylinux_2_17_x86_64 manylinux2014_x86_64)
PIN_DISK_MIB=2600  # free space needed while unpacking; 1,200 MiB stay

# Oldest versions that setup.sh accepts of what is already there.
MIN_CMAKE=3.22
MIN_GCC=11
MIN_CLANG=14
MIN_TORCH=2.1
MIN_MPI=3.0
