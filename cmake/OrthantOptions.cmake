# Language level, warnings, sanitizers, compiler cache.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()

option(ORTHANT_TESTS "Build the test tiers" ON)
option(ORTHANT_BENCHMARKS "Build the benchmark programs" ON)
option(ORTHANT_WERROR "Treat warnings as errors" ON)
option(ORTHANT_CUDA "Build for NVIDIA GPUs too, with CUDA and NCCL" OFF)
set(ORTHANT_SANITIZE "" CACHE STRING "address or thread")
set(ORTHANT_ARCH "x86-64-v3" CACHE STRING "-march of x86-64 builds (native: this machine only)")

# Interface target that every Orthant target uses.
add_library(orthant_options INTERFACE)
# One code model for libraries and programs: they share a precompiled header.
target_compile_options(orthant_options INTERFACE -fPIC)
target_compile_options(orthant_options INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wno-unused-parameter)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(orthant_options INTERFACE -Wno-restrict -Wno-array-bounds -Wno-stringop-overflow -Wno-stringop-overread)  # false alarms on std::string (GCC PR 105651, 105762)
endif()
if(ORTHANT_WERROR)
  target_compile_options(orthant_options INTERFACE -Werror)
endif()
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64" AND ORTHANT_ARCH)
  target_compile_options(orthant_options INTERFACE -march=${ORTHANT_ARCH})
endif()
if(ORTHANT_SANITIZE)
  # The instrumentation makes GCC warn of uninitialised values that are not (its manual says so).
  target_compile_options(orthant_options INTERFACE -fsanitize=${ORTHANT_SANITIZE} -fno-omit-frame-pointer
    -Wno-maybe-uninitialized)
  target_link_options(orthant_options INTERFACE -fsanitize=${ORTHANT_SANITIZE})
endif()

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # Sloppiness: what ccache's manual asks for with precompiled headers.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros ${CCACHE_PROGRAM})
  add_compile_options($<$<COMPILE_LANG_AND_ID:CXX,GNU>:-fpch-preprocess>)
endif()
