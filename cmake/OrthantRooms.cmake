# A room is src/<name>/*.cpp and include/orthant/<name>/*.h, built as one static library orthant_<name>.
function(orthant_room name)
  cmake_parse_arguments(ARG "" "" "DEPENDS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/*.cpp)
  add_library(orthant_${name} STATIC ${sources})
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

# One precompiled header for everything that includes LibTorch (10 to 20 s a file without it).
function(orthant_use_torch_pch target)
  if(NOT TARGET orthant_torch_pch)
    file(WRITE ${CMAKE_BINARY_DIR}/torch_pch.cpp "// Holds the precompiled header of the rooms that use LibTorch.\n")
    add_library(orthant_torch_pch STATIC ${CMAKE_BINARY_DIR}/torch_pch.cpp)
    target_link_libraries(orthant_torch_pch PUBLIC orthant_options orthant_dep_torch)
    target_precompile_headers(orthant_torch_pch PRIVATE
      <ATen/ATen.h> <torch/csrc/autograd/custom_function.h> <torch/csrc/autograd/autograd.h>
      <algorithm> <functional> <map> <memory> <string> <vector>)
  endif()
  target_precompile_headers(${target} REUSE_FROM orthant_torch_pch)
endfunction()
