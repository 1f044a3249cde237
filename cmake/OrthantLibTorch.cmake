# Finds LibTorch and makes the target orthant_libtorch. Looked for, in this order:
#   1. -DORTHANT_TORCH_ROOT=DIR   2. CMAKE_PREFIX_PATH (a LibTorch archive or a PyTorch's site-packages/torch)
#   3. third_party/libtorch/torch (launch/setup.sh puts it there)   4. the PyTorch of the python3 on PATH
# find_package(Torch) is not used: with the CUDA wheel it demands a CUDA toolkit even for a CPU build.
set(ORTHANT_TORCH_ROOT "" CACHE PATH "Folder that holds LibTorch's include/ and lib/")

function(_orthant_python_torch out)
  find_program(_python3 python3)
  set(dir "")
  if(_python3)
    execute_process(
      COMMAND ${_python3} -c "import importlib.util as u,os;s=u.find_spec('torch');print(os.path.dirname(s.origin) if s else '')"
      OUTPUT_VARIABLE dir OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  endif()
  set(${out} "${dir}" PARENT_SCOPE)
endfunction()

if(NOT ORTHANT_TORCH_ROOT)
  set(_candidates "")
  foreach(prefix IN LISTS CMAKE_PREFIX_PATH)
    # .../torch, .../torch/share/cmake and .../libtorch are all in use.
    list(APPEND _candidates ${prefix} ${prefix}/torch ${prefix}/../.. ${prefix}/../../..)
  endforeach()
  foreach(prefix IN ITEMS $ENV{CMAKE_PREFIX_PATH})
    string(REPLACE ":" ";" _env_prefixes "${prefix}")
    foreach(p IN LISTS _env_prefixes)
      list(APPEND _candidates ${p} ${p}/torch ${p}/../.. ${p}/../../..)
    endforeach()
  endforeach()
  list(APPEND _candidates ${CMAKE_CURRENT_SOURCE_DIR}/third_party/libtorch/torch)
  foreach(dir IN LISTS _candidates)
    if(NOT ORTHANT_TORCH_ROOT AND EXISTS ${dir}/include/ATen/ATen.h AND EXISTS ${dir}/lib/libtorch_cpu.so)
      set(ORTHANT_TORCH_ROOT ${dir} CACHE PATH "" FORCE)
    endif()
  endforeach()
  if(NOT ORTHANT_TORCH_ROOT)
    _orthant_python_torch(_dir)
    if(_dir AND EXISTS ${_dir}/lib/libtorch_cpu.so)
      set(ORTHANT_TORCH_ROOT ${_dir} CACHE PATH "" FORCE)
    endif()
  endif()
endif()
if(NOT EXISTS ${ORTHANT_TORCH_ROOT}/lib/libtorch_cpu.so)
  message(FATAL_ERROR "LibTorch 2.x was not found. Run launch/setup.sh, or pass -DORTHANT_TORCH_ROOT=DIR or "
                      "CMAKE_PREFIX_PATH naming a LibTorch archive or a PyTorch installation.")
endif()
get_filename_component(ORTHANT_TORCH_ROOT ${ORTHANT_TORCH_ROOT} REALPATH)
message(STATUS "LibTorch: ${ORTHANT_TORCH_ROOT}")

# libtorch_cpu.so of the CUDA wheel needs libcudart and libcupti beside it: name the folders where they may lie.
file(GLOB _nvidia_libs ${ORTHANT_TORCH_ROOT}/../nvidia/*/lib)
add_library(orthant_libtorch INTERFACE)
target_include_directories(orthant_libtorch SYSTEM INTERFACE
  ${ORTHANT_TORCH_ROOT}/include ${ORTHANT_TORCH_ROOT}/include/torch/csrc/api/include)
target_link_libraries(orthant_libtorch INTERFACE ${ORTHANT_TORCH_ROOT}/lib/libtorch_cpu.so ${ORTHANT_TORCH_ROOT}/lib/libc10.so)
target_link_options(orthant_libtorch INTERFACE -Wl,--allow-shlib-undefined -Wl,--no-as-needed -Wl,--disable-new-dtags)
foreach(dir IN ITEMS ${ORTHANT_TORCH_ROOT}/lib ${_nvidia_libs} /usr/local/cuda/lib64)
  if(IS_DIRECTORY ${dir})
    target_link_options(orthant_libtorch INTERFACE -Wl,-rpath,${dir})
  endif()
endforeach()
