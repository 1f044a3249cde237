# What the build for GPUs (preset cuda) needs beside the rest: looked for in the toolkit, modules, LibTorch's own
# wheels; what is missing is fetched into third_party/cuda. Sourced by setup.sh, after LibTorch has been found.
# shellcheck shell=bash disable=SC2153,SC2034

CUDA_AT="$ORTHANT_HOME/third_party/cuda"

# The roots of toolkits and wheels, in the order of cmake/OrthantCuda.cmake.
cuda_roots() {
  local nvcc torch=${TORCH_FOUND#* }
  nvcc=$(command -v nvcc 2>/dev/null || true)
  {
    printf '%s\n' "${CUDA_HOME:-}" "${CUDA_PATH:-}" "${NCCL_ROOT:-}" "${NCCL_HOME:-}"
    [[ -n "$nvcc" ]] && dirname "$(dirname "$(readlink -f "$nvcc")")"
    printf '%s\n' /usr/local/cuda "$torch"/../nvidia/* "$CUDA_AT"/nvidia/*
  } | while IFS= read -r dir; do [[ -d "$dir" ]] && printf '%s\n' "$dir"; done | awk '!seen[$0]++'
}

# find_cuda NAME: where the library, header or compiler is; status 1 where it is not.
find_cuda() {
  local name=$1 root dir
  local -a at=()
  case "$name" in
    nvcc) at=(bin) ;;
    *.h) at=(include targets/x86_64-linux/include targets/sbsa-linux/include) ;;
    *) at=(lib64 lib targets/x86_64-linux/lib) ;;
  esac
  while IFS= read -r root; do
    for dir in "${at[@]}"; do [[ -e "$root/$dir/$name" ]] && echo "$root/$dir" && return 0; done
  done < <(cuda_roots)
  case "$name" in
    nvcc) return 1 ;;
    *.h) for dir in /usr/include /usr/local/include; do [[ -e "$dir/$name" ]] && echo "$dir" && return 0; done ;;
    *)
      while IFS= read -r dir; do
        [[ -n "$dir" && -e "$dir/$name" ]] && echo "$dir" && return 0
      done < <(tr ':' '\n' <<<"${LD_LIBRARY_PATH:-}" && printf '%s\n' "$torch_lib" /usr/lib/x86_64-linux-gnu /usr/lib64)
      ;;
  esac
  return 1
}

# What LibTorch's CUDA libraries are linked with, and what our own sources include.
cuda_names() {
  local library
  for library in "$torch_lib"/lib{torch_cuda,c10_cuda,torch_nvshmem}.so; do
    [[ -e "$library" ]] || continue
    # cuBLAS's second library comes with the first.
    readelf -d "$library" 2>/dev/null | sed -n 's/.*(NEEDED).*\[\(lib\(cu\|nv\|nccl\)[^]]*\)\]/\1/p' | grep -v cublasLt
  done
  printf '%s\n' libnvrtc.so.13 libcudart.so.13 cuda_runtime_api.h nccl.h nvcc
}

CUDA_MISSING=()
look_cuda() {
  local name at torch_lib="${TORCH_FOUND#* }/lib"
  CUDA_MISSING=()
  [[ -e "$torch_lib/libtorch_cuda.so" ]] || fail 3 "the LibTorch in ${TORCH_FOUND#* } is built without CUDA" \
    "Name one that has it: export CMAKE_PREFIX_PATH=DIR (docs/gpu.md), or, for LibTorch $PIN_TORCH_VERSION of our own:" \
    "  env -u CMAKE_PREFIX_PATH -u ORTHANT_TORCH_ROOT launch/setup.sh --cuda"
  step "What the build for GPUs needs beside"
  while IFS= read -r name; do
    if at=$(find_cuda "$name"); then
      printf '    %-22s %s\n' "$name" "$at"
    else
      printf '    %-22s %smissing%s\n' "$name" "$RED" "$PLAIN"
      CUDA_MISSING+=("$name")
    fi
  done < <(cuda_names | sort -u)
}

# Fetches the wheels that bring what is missing.
install_cuda() {
  local name pin what package version sum file free found
  local -a files=()
  [[ "$(uname -m)" == "$PIN_TORCH_ARCH" ]] || fail 3 "missing: ${CUDA_MISSING[*]}; no wheels are pinned for $(uname -m)" \
    "Load CUDA's and NCCL's modules (docs/gpu.md), then run this again."
  WHEELS="$ORTHANT_HOME/third_party/packages"
  free=$(df -Pm "$ORTHANT_HOME/third_party" | awk 'NR == 2 {print $4}')
  ((free >= PIN_CUDA_DISK_MIB)) || fail 3 "$free MiB are free under $ORTHANT_HOME, up to $PIN_CUDA_DISK_MIB are needed" \
    "Free some, or load modules that bring ${CUDA_MISSING[*]} (docs/gpu.md)."
  mkdir -p "$WHEELS"
  need_pip
  step "Fetching what is missing into third_party/cuda"
  for name in "${CUDA_MISSING[@]}"; do
    found=0
    for pin in "${PIN_CUDA_WHEELS[@]}"; do
      read -r what package version sum file <<<"$pin"
      [[ "$what" == "$name" ]] || continue
      fetch_wheel "$package" "$version" "$sum" "$file"
      files+=("$file")
      found=1
    done
    ((found)) || fail 3 "$name is missing, which no pinned wheel brings (they are for CUDA $PIN_CUDA_VERSION)" \
      "Load a module or name a toolkit that has it: export CUDA_HOME=DIR, or LD_LIBRARY_PATH (docs/gpu.md)."
  done
  PARTIAL="$WHEELS/unpacking.$$"
  mkdir -p "$PARTIAL" "$CUDA_AT"
  while IFS= read -r file; do
    WHILE="unpacking $file"
    python3 -m zipfile -e "$WHEELS/$file" "$PARTIAL"
  done < <(printf '%s\n' "${files[@]}" | sort -u)
  WHILE='moving the CUDA libraries into place'
  find "$PARTIAL" -path '*/bin/*' -type f -exec chmod +x {} + # zipfile forgets
  cp -r "$PARTIAL"/. "$CUDA_AT"/
  rm -rf "$WHEELS"
  PARTIAL=''
}

# Ends the script where something is missing in the end.
setup_cuda() {
  WHILE='looking for CUDA'
  look_cuda
  ((${#CUDA_MISSING[@]})) || return 0
  if ((CHECK)); then
    note "Load CUDA's and NCCL's modules, or let launch/setup.sh --cuda fetch what is missing: docs/gpu.md"
    exit 3
  fi
  install_cuda
  look_cuda
  ((${#CUDA_MISSING[@]} == 0)) || fail 3 "still missing: ${CUDA_MISSING[*]}" "docs/gpu.md says where each comes from."
}
