# A room is src/<name>/*.cpp and include/orthant/<name>/*.h, built as one static library orthant_<name>. Of the folders
# src/<name>/cuda and no_cuda one is built: the first with ORTHANT_CUDA, else the second.
function(orthant_room name)
  cmake_parse_arguments(ARG "" "" "DEPENDS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/*.cpp)
  if(ORTHANT_CUDA)
    file(GLOB device_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/cuda/*.cpp)
    set_source_files_properties(${device_sources} PROPERTIES COMPILE_OPTIONS "${ORTHANT_CUDA_INCLUDE_OPTIONS}")
  else()
    file(GLOB device_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/no_cuda/*.cpp)
  endif()
  add_library(orthant_${name} STATIC ${sources} ${device_sources})
  add_library(orthant::${name} ALIAS orthant_${name})
  target_compile_features(orthant_${name} PUBLIC cxx_std_20)
  set_property(GLOBAL APPEND PROPERTY ORTHANT_ROOMS ${name})
  target_include_directories(orthant_${name}
    PUBLIC $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/include> $<INSTALL_INTERFACE:include>
    PRIVATE ${CMAKE_SOURCE_DIR}/src)
  target_link_libraries(orthant_${name} PUBLIC $<BUILD_INTERFACE:orthant_options>)
  foreach(dep IN LISTS ARG_DEPENDS)
    if(TARGET orthant_${dep})
      target_link_libraries(orthant_${name} PUBLIC orthant_${dep})
    else()
      target_link_libraries(orthant_${name} PUBLIC orthant_dep_${dep})
    endif()
  endforeach()
  if("torch" IN_LIST ARG_DEPENDS)
    orthant_use_torch_pch(orthant_${name})
  endif()
endfunction()

# Makes orthant_<name>_pch, which holds a precompiled header of HEADERS as LINK's users see them.
function(_orthant_pch name)
  cmake_parse_arguments(ARG "" "" "LINK;HEADERS" ${ARGN})
  file(WRITE ${CMAKE_BINARY_DIR}/${name}_pch.cpp "// Holds a precompiled header.\n")
  add_library(orthant_${name}_pch STATIC ${CMAKE_BINARY_DIR}/${name}_pch.cpp)
  target_link_libraries(orthant_${name}_pch PUBLIC orthant_options ${ARG_LINK})
  target_precompile_headers(orthant_${name}_pch PRIVATE ${ARG_HEADERS})
endfunction()

set(_orthant_torch_headers
  <ATen/ATen.h> <torch/csrc/autograd/custom_function.h> <torch/csrc/autograd/autograd.h>
  <algorithm> <functional> <map> <memory> <string> <vector>)

# For everything that includes LibTorch (10 to 20 s a file without it).
function(orthant_use_torch_pch target)
  if(NOT TARGET orthant_torch_pch)
    _orthant_pch(torch LINK orthant_dep_torch HEADERS ${_orthant_torch_headers})
  endif()
  target_precompile_headers(${target} REUSE_FROM orthant_torch_pch)
endfunction()

# What tests compute themselves is little: a quarter less time in the compiler.
set(_orthant_test_options $<$<CONFIG:Release>:-O1>)

# For tests: GoogleTest, and LibTorch when `kind` is torch rather than plain.
function(orthant_use_test_pch target kind)
  target_compile_options(${target} PRIVATE ${_orthant_test_options})
  if(NOT TARGET orthant_test_${kind}_pch)
    set(headers <gtest/gtest.h> <gmock/gmock.h>)
    set(link GTest::gtest GTest::gmock)
    if(kind STREQUAL "torch")
      list(PREPEND headers ${_orthant_torch_headers})
      list(APPEND link orthant_dep_torch)
    else()
      list(APPEND headers <nlohmann/json.hpp> <absl/status/statusor.h> <absl/strings/str_format.h> <string> <vector>)
      list(APPEND link orthant_dep_json orthant_dep_absl)
    endif()
    _orthant_pch(test_${kind} LINK ${link} HEADERS ${headers})
    target_compile_options(orthant_test_${kind}_pch PRIVATE ${_orthant_test_options})
  endif()
  target_precompile_headers(${target} REUSE_FROM orthant_test_${kind}_pch)
endfunction()
