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
