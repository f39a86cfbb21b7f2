# `icon demo` as a person runs it; redis' root directory is made by migration.cmake.
icon_test(demo_lab_test SOURCES demo_test.cc LINKS icon_lab TIMEOUT 300)
target_compile_definitions(demo_lab_test PRIVATE ICON_CRIU="${ICON_CRIU}"
  ICON_REDIS_ROOTFS="${CMAKE_BINARY_DIR}/rootfs/redis"
  ICON_BIN_DIR="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")
add_dependencies(demo_lab_test redis_rootfs icon_demo_programs)
