# The service's name in a real knot, through a whole life.
icon_test(names_lab_test SOURCES names_test.cc LINKS icon_lab TIMEOUT 400)
target_compile_definitions(names_lab_test PRIVATE ICON_CRIU="${ICON_CRIU}"
  ICON_SOURCE_DIR="${CMAKE_SOURCE_DIR}" ICON_PYTHON_ROOT="${CMAKE_BINARY_DIR}/rootfs/python")
add_dependencies(names_lab_test service_roots icon icon-agent icon-supervisor icon-tunnel
  icon-stub icon-criu-hold icon-pages icon-freeze-guard icon-lab-relay icon-lab-guard icon-lab-load)
