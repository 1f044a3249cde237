# Finds LibTorch and makes the target orthant_libtorch. Looked for, in this order:
#   1. -DORTHANT_TORCH_ROOT=DIR (or that environment variable)
#   2. CMAKE_PREFIX_PATH: a LibTorch archive, a PyTorch's site-packages/torch, or its share/cmake
#   3. third_party/libtorch/torch, where launch/setup.sh puts it      4. the PyTorch of the python3 on PATH
# find_package(Torch) is not used: with the CUDA wheel it demands a CUDA toolkit even for a CPU build.
# launch/common.sh (find_torch) follows the same order. Installed with find_package(orthant).
set(ORTHANT_TORCH_ROOT "$ENV{ORTHANT_TORCH_ROOT}" CACHE PATH "Folder that holds LibTorch's include/ and lib/")

# Sets `out` when `dir` holds a LibTorch that can be linked: it is whole, and std::string is the one of today
# (PyPI's wheels had the C++ ABI from before GCC 5, up to 2.5).
function(_orthant_torch_fits dir out)
  set(${out} FALSE PARENT_SCOPE)
  if(EXISTS ${dir}/include/ATen/ATen.h AND EXISTS ${dir}/lib/libtorch_cpu.so)
    file(STRINGS ${dir}/lib/libc10.so old_abi REGEX "ENS_14SourceLocationESs" LIMIT_COUNT 1)
    if(old_abi)
      message(STATUS "LibTorch in ${dir} is not used: it has the C++ ABI from before GCC 5")
    else()
      set(${out} TRUE PARENT_SCOPE)
    endif()
  endif()
endfunction()

function(_orthant_python_torch out)
  find_program(ORTHANT_PYTHON python3)
  mark_as_advanced(ORTHANT_PYTHON)
  set(dir "")
  if(ORTHANT_PYTHON)
    execute_process(
      COMMAND ${ORTHANT_PYTHON} -c "import importlib.util as u,os;s=u.find_spec('torch');print(os.path.dirname(s.origin) if s else '')"
      OUTPUT_VARIABLE dir OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  endif()
  set(${out} "${dir}" PARENT_SCOPE)
endfunction()

if(NOT ORTHANT_TORCH_ROOT)
  string(REPLACE ":" ";" _prefixes "$ENV{CMAKE_PREFIX_PATH}")
  set(_candidates "")
  foreach(prefix IN LISTS CMAKE_PREFIX_PATH _prefixes)
    list(APPEND _candidates ${prefix} ${prefix}/torch ${prefix}/../.. ${prefix}/../../..)
  endforeach()
  list(APPEND _candidates ${CMAKE_CURRENT_LIST_DIR}/../third_party/libtorch/torch)
  _orthant_python_torch(_dir)
  if(_dir)
    list(APPEND _candidates ${_dir})
  endif()
  foreach(dir IN LISTS _candidates)
    _orthant_torch_fits(${dir} _fits)
    if(_fits)
      set(ORTHANT_TORCH_ROOT ${dir} CACHE PATH "" FORCE)
      break()
    endif()
  endforeach()
endif()
if(NOT EXISTS ${ORTHANT_TORCH_ROOT}/lib/libtorch_cpu.so)
  message(FATAL_ERROR "LibTorch 2.x was not found. Run launch/setup.sh, or pass -DORTHANT_TORCH_ROOT=DIR or "
                      "CMAKE_PREFIX_PATH naming a LibTorch archive or a PyTorch installation.")
endif()
get_filename_component(ORTHANT_TORCH_ROOT ${ORTHANT_TORCH_ROOT} REALPATH)
message(STATUS "LibTorch: ${ORTHANT_TORCH_ROOT}")

# libtorch_cpu.so of the CUDA wheel needs libcudart and libcupti beside it: name the folders where they may lie.
file(GLOB _nvidia_libs ${ORTHANT_TORCH_ROOT}/../nvidia/*/lib)
add_library(orthant_libtorch INTERFACE IMPORTED)  # imported: find_package(orthant) makes it again
target_include_directories(orthant_libtorch SYSTEM INTERFACE
  ${ORTHANT_TORCH_ROOT}/include ${ORTHANT_TORCH_ROOT}/include/torch/csrc/api/include)
target_link_libraries(orthant_libtorch INTERFACE ${ORTHANT_TORCH_ROOT}/lib/libtorch_cpu.so ${ORTHANT_TORCH_ROOT}/lib/libc10.so)
target_link_options(orthant_libtorch INTERFACE -Wl,--allow-shlib-undefined -Wl,--no-as-needed -Wl,--disable-new-dtags)
foreach(dir IN ITEMS ${ORTHANT_TORCH_ROOT}/lib ${_nvidia_libs} /usr/local/cuda/lib64)
  if(IS_DIRECTORY ${dir})
    target_link_options(orthant_libtorch INTERFACE -Wl,-rpath,${dir})
  endif()
endforeach()
