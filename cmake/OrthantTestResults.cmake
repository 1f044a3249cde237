# Every GoogleTest program of tests/CMakeLists.txt also writes its cases to test-results/<CTest name>.json, which
# tests/run.sh counts. Included at the end of that file.
get_property(_orthant_tests DIRECTORY PROPERTY TESTS)
foreach(test IN LISTS _orthant_tests)
  set_property(TEST ${test} APPEND PROPERTY ENVIRONMENT "GTEST_OUTPUT=json:${CMAKE_BINARY_DIR}/test-results/${test}.json")
endforeach()
