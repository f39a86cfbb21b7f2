# `icon demo` as a person runs it.
icon_test(demo_lab_test SOURCES demo_test.cc LINKS icon_lab TIMEOUT 300)
target_compile_definitions(demo_lab_test PRIVATE ICON_CRIU="${ICON_CRIU}"
  ICON_REDIS_ROOTFS="${ICON_IMAGES}/redis/rootfs"
  ICON_BIN_DIR="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")
add_dependencies(demo_lab_test image_redis icon_demo_programs)
