# Every third-party target, by the short names that orthant_room(DEPENDS ...) uses: orthant_dep_<name>.
# Versions, licences and how each is installed: third_party/README.md.
include(OrthantLibTorch)

find_package(Threads REQUIRED)
find_package(absl REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(nlohmann_json 3.10 REQUIRED)
find_package(spdlog REQUIRED)
find_package(CLI11 REQUIRED)
find_package(MPI REQUIRED COMPONENTS C)

function(orthant_dep name)
  add_library(orthant_dep_${name} INTERFACE)
  target_link_libraries(orthant_dep_${name} INTERFACE ${ARGN})
  set_target_properties(orthant_dep_${name} PROPERTIES EXPORT_NAME dep_${name})
  set_property(GLOBAL APPEND PROPERTY ORTHANT_DEPS ${name})
endfunction()

orthant_dep(absl absl::status absl::statusor absl::strings absl::str_format absl::flat_hash_map)
orthant_dep(yaml yaml-cpp)
orthant_dep(json nlohmann_json::nlohmann_json)
orthant_dep(spdlog spdlog::spdlog Threads::Threads)
orthant_dep(cli11 CLI11::CLI11)
orthant_dep(mpi MPI::MPI_C)
target_compile_definitions(orthant_dep_mpi INTERFACE OMPI_SKIP_MPICXX MPICH_SKIP_MPICXX)
orthant_dep(torch orthant_libtorch)

# Optional: without it, files are read and written by threads. One source file alone sees the definition.
option(ORTHANT_URING "Use io_uring through liburing where it is installed" ON)
find_path(ORTHANT_URING_INCLUDE liburing.h)
find_library(ORTHANT_URING_LIBRARY uring)
mark_as_advanced(ORTHANT_URING_INCLUDE ORTHANT_URING_LIBRARY)
if(ORTHANT_URING AND ORTHANT_URING_INCLUDE AND ORTHANT_URING_LIBRARY)
  orthant_dep(uring ${ORTHANT_URING_LIBRARY})
  target_include_directories(orthant_dep_uring SYSTEM INTERFACE $<BUILD_INTERFACE:${ORTHANT_URING_INCLUDE}>)
  set_source_files_properties(src/core/async_file_uring.cpp PROPERTIES COMPILE_DEFINITIONS ORTHANT_HAVE_URING)
  set(ORTHANT_DEP_URING uring)
else()
  message(STATUS "liburing is not used: files are read and written by threads")
endif()

# Optional: NVIDIA GPUs.
if(ORTHANT_CUDA)
  include(OrthantCuda)
  set(ORTHANT_DEP_CUDA cuda)
  set(ORTHANT_DEP_KERNELS kernels)
endif()
