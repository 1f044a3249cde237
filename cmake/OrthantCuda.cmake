# The build for NVIDIA GPUs (-DORTHANT_CUDA=ON, preset cuda): finds the CUDA toolkit, NCCL and what libtorch_cuda.so
# needs, and makes the target orthant_dep_cuda. CUDA 12 or 13 (the one that LibTorch was built for) and NCCL 2.28 or
# newer. docs/gpu.md says where each comes from: modules, a toolkit, or wheels (launch/setup.sh --cuda).
#
# Few files see CUDA: src/<room>/cuda/*. All others are compiled as in any other build.
set(ORTHANT_CUDA_ROOT "" CACHE PATH "Folder that holds CUDA's include/ and lib64/ or lib/")
set(ORTHANT_NCCL_ROOT "" CACHE PATH "Folder that holds NCCL's include/ and lib/, where it is not the toolkit's")
set(ORTHANT_CUDA_ARCH "80-real;90" CACHE STRING "GPU architectures of our own kernels (as CMAKE_CUDA_ARCHITECTURES)")

# ---- the toolkit: given, a module's, the compiler's on PATH, the usual folder, wheels beside LibTorch and ours
set(_orthant_wheels ${ORTHANT_TORCH_ROOT}/../nvidia ${CMAKE_CURRENT_LIST_DIR}/../third_party/cuda/nvidia)
list(TRANSFORM _orthant_wheels APPEND /cu1[23] OUTPUT_VARIABLE _orthant_cuda_wheels)
list(TRANSFORM _orthant_wheels APPEND /nccl OUTPUT_VARIABLE _orthant_nccl_wheels)
list(TRANSFORM _orthant_wheels APPEND /*)
file(GLOB _orthant_cuda_wheels ${_orthant_cuda_wheels})
file(GLOB _orthant_wheels ${_orthant_wheels})
find_program(ORTHANT_NVCC nvcc HINTS ${ORTHANT_CUDA_ROOT}/bin $ENV{CUDA_HOME}/bin $ENV{CUDA_PATH}/bin
  PATHS /usr/local/cuda/bin ${_orthant_cuda_wheels} PATH_SUFFIXES bin)
mark_as_advanced(ORTHANT_NVCC)
if(NOT ORTHANT_NVCC)
  message(FATAL_ERROR "CUDA's compiler nvcc was not found. Load a module (module load cuda), or pass "
                      "-DORTHANT_CUDA_ROOT=DIR, or run launch/setup.sh --cuda, which fetches it.")
endif()
get_filename_component(_orthant_nvcc ${ORTHANT_NVCC} REALPATH)
get_filename_component(_orthant_nvcc_root ${_orthant_nvcc}/../.. ABSOLUTE)
set(_orthant_cuda_roots ${ORTHANT_CUDA_ROOT} ${_orthant_nvcc_root} $ENV{CUDA_HOME} $ENV{CUDA_PATH} /usr/local/cuda ${_orthant_cuda_wheels})
find_path(ORTHANT_CUDA_INCLUDE cuda_runtime_api.h HINTS ${_orthant_cuda_roots}
  PATH_SUFFIXES include targets/x86_64-linux/include targets/sbsa-linux/include)
find_path(ORTHANT_NCCL_INCLUDE nccl.h HINTS ${ORTHANT_NCCL_ROOT} $ENV{NCCL_ROOT} $ENV{NCCL_HOME}
  ${_orthant_nccl_wheels} ${_orthant_cuda_roots} PATH_SUFFIXES include)
mark_as_advanced(ORTHANT_CUDA_INCLUDE ORTHANT_NCCL_INCLUDE)
if(NOT ORTHANT_CUDA_INCLUDE OR NOT ORTHANT_NCCL_INCLUDE)
  message(FATAL_ERROR "CUDA's cuda_runtime_api.h (${ORTHANT_CUDA_INCLUDE}) or NCCL's nccl.h (${ORTHANT_NCCL_INCLUDE}) "
                      "was not found. Load modules (module load cuda nccl), pass -DORTHANT_CUDA_ROOT=DIR and "
                      "-DORTHANT_NCCL_ROOT=DIR, or run launch/setup.sh --cuda.")
endif()

file(STRINGS ${ORTHANT_CUDA_INCLUDE}/cuda_runtime_api.h _orthant_cuda_line REGEX "#define +CUDART_VERSION +[0-9]+")
string(REGEX REPLACE "[^0-9]*([0-9]+)[0-9][0-9][0-9].*" "\\1" _orthant_cuda_major "${_orthant_cuda_line}")
if(_orthant_cuda_major LESS 12)
  message(FATAL_ERROR "CUDA ${_orthant_cuda_major} in ${ORTHANT_CUDA_INCLUDE} is too old: 12 or 13 is needed")
endif()
set(_orthant_nccl_version 0)
foreach(part IN ITEMS MAJOR MINOR PATCH)
  file(STRINGS ${ORTHANT_NCCL_INCLUDE}/nccl.h _orthant_line REGEX "#define NCCL_${part} [0-9]+")
  string(REGEX REPLACE "[^0-9]*([0-9]+).*" "\\1" _orthant_nccl_${part} "${_orthant_line}")
endforeach()
set(_orthant_nccl_version ${_orthant_nccl_MAJOR}.${_orthant_nccl_MINOR}.${_orthant_nccl_PATCH})
if(_orthant_nccl_version VERSION_LESS 2.28)
  message(FATAL_ERROR "NCCL ${_orthant_nccl_version} in ${ORTHANT_NCCL_INCLUDE} is too old: 2.28 or newer is needed")
endif()

# ---- the libraries that libtorch_cuda.so names, found once and put into the rpath
set(_orthant_library_dirs ${ORTHANT_TORCH_ROOT}/lib)
foreach(root IN LISTS ORTHANT_NCCL_ROOT _orthant_cuda_roots _orthant_wheels)
  list(APPEND _orthant_library_dirs ${root}/lib64 ${root}/lib ${root}/targets/x86_64-linux/lib)
endforeach()
string(REPLACE ":" ";" _orthant_loader_dirs "$ENV{LD_LIBRARY_PATH}")
list(APPEND _orthant_library_dirs ${_orthant_loader_dirs} /usr/lib/x86_64-linux-gnu /lib/x86_64-linux-gnu
  /usr/lib/aarch64-linux-gnu /usr/lib64 /lib64)

# Sets `out` to the first folder that holds `name`, or to "".
function(_orthant_library_dir name out)
  set(${out} "" PARENT_SCOPE)
  foreach(dir IN LISTS _orthant_library_dirs)
    if(EXISTS ${dir}/${name})
      set(${out} ${dir} PARENT_SCOPE)
      return()
    endif()
  endforeach()
endfunction()

if(NOT EXISTS ${ORTHANT_TORCH_ROOT}/lib/libtorch_cuda.so)
  message(FATAL_ERROR "The LibTorch in ${ORTHANT_TORCH_ROOT} is built without CUDA: it has no lib/libtorch_cuda.so. "
                      "Name one that has it (docs/install.md), or run launch/setup.sh --cuda.")
endif()
file(GLOB _orthant_torch_libraries ${ORTHANT_TORCH_ROOT}/lib/libtorch_cuda.so ${ORTHANT_TORCH_ROOT}/lib/libc10_cuda.so
  ${ORTHANT_TORCH_ROOT}/lib/libtorch_nvshmem.so)
execute_process(COMMAND ${CMAKE_READELF} -d ${_orthant_torch_libraries}
  OUTPUT_VARIABLE _orthant_dynamic ERROR_QUIET)
string(REPLACE "[" "<" _orthant_dynamic "${_orthant_dynamic}")  # a bracket would glue a list's elements
string(REPLACE "]" ">" _orthant_dynamic "${_orthant_dynamic}")
string(REGEX MATCHALL "NEEDED[^\n]*<[^\n>]*" _orthant_needed "${_orthant_dynamic}")
set(_orthant_missing "")
set(_orthant_cuda_rpath "")
foreach(line IN LISTS _orthant_needed)
  string(REGEX REPLACE ".*<" "" _orthant_name "${line}")
  if(_orthant_name MATCHES "^ld-linux")
    continue()
  endif()
  _orthant_library_dir(${_orthant_name} _orthant_dir)
  if(NOT _orthant_dir)
    list(APPEND _orthant_missing ${_orthant_name})
  elseif(NOT _orthant_dir MATCHES "^(/usr)?/lib")
    list(APPEND _orthant_cuda_rpath ${_orthant_dir})
    if(_orthant_name MATCHES "^libcudart.so.(1[0-9])$" AND NOT CMAKE_MATCH_1 EQUAL _orthant_cuda_major)
      message(FATAL_ERROR "LibTorch was built for CUDA ${CMAKE_MATCH_1}, the toolkit in ${ORTHANT_CUDA_INCLUDE} is "
                          "CUDA ${_orthant_cuda_major}. Name one of that version: -DORTHANT_CUDA_ROOT=DIR.")
    endif()
  endif()
endforeach()
list(REMOVE_DUPLICATES _orthant_missing)
list(REMOVE_DUPLICATES _orthant_cuda_rpath)
if(_orthant_missing)
  string(REPLACE ";" ", " _orthant_missing "${_orthant_missing}")
  message(FATAL_ERROR "LibTorch's CUDA library needs ${_orthant_missing}, which no folder holds that was looked in. Run "
                      "launch/setup.sh --cuda, which fetches what the toolkit lacks, or add the folder to LD_LIBRARY_PATH.")
endif()
_orthant_library_dir(libcudart.so.${_orthant_cuda_major} _orthant_cudart_dir)
_orthant_library_dir(libnccl.so.2 _orthant_nccl_dir)
message(STATUS "CUDA ${_orthant_cuda_major}: ${ORTHANT_CUDA_INCLUDE}; NCCL ${_orthant_nccl_version}: ${ORTHANT_NCCL_INCLUDE}")

# ---- the target, and the files that see CUDA
orthant_dep(cuda ${ORTHANT_TORCH_ROOT}/lib/libtorch_cuda.so ${ORTHANT_TORCH_ROOT}/lib/libc10_cuda.so
  ${_orthant_cudart_dir}/libcudart.so.${_orthant_cuda_major} ${_orthant_nccl_dir}/libnccl.so.2)
foreach(dir IN LISTS _orthant_cuda_rpath)
  target_link_options(orthant_dep_cuda INTERFACE -Wl,-rpath,${dir})
endforeach()


# For src/<room>/cuda/*.cpp alone (OrthantRooms.cmake).
set(ORTHANT_CUDA_INCLUDE_OPTIONS -isystem ${ORTHANT_CUDA_INCLUDE} -isystem ${ORTHANT_NCCL_INCLUDE})

# Our own kernels, src/<room>/cuda/*.cu: plain CUDA C++, without LibTorch. libcudart.so is linked, by orthant_dep_cuda.
set(CMAKE_CUDA_COMPILER ${_orthant_nvcc})
if(NOT CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES ${ORTHANT_CUDA_ARCH})
endif()
set(CMAKE_CUDA_RUNTIME_LIBRARY None)
enable_language(CUDA)
file(GLOB _orthant_kernels CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/*/cuda/*.cu)
add_library(orthant_dep_kernels STATIC ${_orthant_kernels})
set_target_properties(orthant_dep_kernels PROPERTIES EXPORT_NAME dep_kernels POSITION_INDEPENDENT_CODE ON
  CUDA_STANDARD 17 CUDA_STANDARD_REQUIRED ON CUDA_EXTENSIONS OFF)
set_property(GLOBAL APPEND PROPERTY ORTHANT_DEPS kernels)
target_include_directories(orthant_dep_kernels PRIVATE ${CMAKE_SOURCE_DIR}/include ${CMAKE_SOURCE_DIR}/src ${ORTHANT_CUDA_INCLUDE})
target_compile_options(orthant_dep_kernels PRIVATE --expt-relaxed-constexpr -Xcompiler=-Wall,-Wextra)
if(ORTHANT_WERROR)
  target_compile_options(orthant_dep_kernels PRIVATE -Werror=all-warnings -Xcompiler=-Werror)
endif()
