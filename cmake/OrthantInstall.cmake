# Install rules: bin/orthant, the headers, a static library a room, and find_package(orthant).
# What `orthant launch` and `orthant submit` read lies in share/orthant: cluster files and templates of batch scripts.
#   cmake --install build/release --prefix DIR      then in your project: -DCMAKE_PREFIX_PATH=DIR
# examples/use_library is such a project; tests/e2e/install_test.sh builds it.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

get_property(_rooms GLOBAL PROPERTY ORTHANT_ROOMS)
get_property(_deps GLOBAL PROPERTY ORTHANT_DEPS)
set(_targets "")
foreach(name IN LISTS _rooms)
  set_target_properties(orthant_${name} PROPERTIES EXPORT_NAME ${name})
  list(APPEND _targets orthant_${name})
endforeach()
foreach(name IN LISTS _deps)
  list(APPEND _targets orthant_dep_${name})
endforeach()

set(_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/orthant)
set(ORTHANT_MPI_COMPONENT C)
set_target_properties(orthant PROPERTIES INSTALL_RPATH_USE_LINK_PATH ON)
install(TARGETS orthant RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS ${_targets} EXPORT orthant ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/orthant DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(DIRECTORY ${PROJECT_SOURCE_DIR}/configs/clusters ${PROJECT_SOURCE_DIR}/configs/calibrations
  ${PROJECT_SOURCE_DIR}/configs/models DESTINATION ${CMAKE_INSTALL_DATADIR}/orthant/configs)
install(FILES ${PROJECT_SOURCE_DIR}/launch/slurm.sbatch ${PROJECT_SOURCE_DIR}/launch/pbs.sh
  DESTINATION ${CMAKE_INSTALL_DATADIR}/orthant/launch)
install(EXPORT orthant FILE OrthantTargets.cmake NAMESPACE orthant:: DESTINATION ${_package_dir})

configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/OrthantConfig.cmake.in
  ${PROJECT_BINARY_DIR}/orthant-config.cmake INSTALL_DESTINATION ${_package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/orthant-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/orthant-config.cmake ${PROJECT_BINARY_DIR}/orthant-config-version.cmake
  ${PROJECT_SOURCE_DIR}/cmake/OrthantLibTorch.cmake DESTINATION ${_package_dir})
