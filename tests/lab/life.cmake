# A whole life: a move, a replica, its end. Its service is Python's own web server.
icon_test(life_lab_test SOURCES life_test.cc LINKS icon_lab icon_budget_sqlite TIMEOUT 150)
target_compile_definitions(life_lab_test PRIVATE ICON_CRIU="${ICON_CRIU}"
  ICON_SOURCE_DIR="${CMAKE_SOURCE_DIR}" ICON_PYTHON_ROOT="${CMAKE_BINARY_DIR}/rootfs/python")
add_dependencies(life_lab_test service_roots icon icon-agent icon-supervisor icon-tunnel
  icon-stub icon-criu-hold icon-pages icon-freeze-guard icon-lab-relay icon-lab-guard icon-lab-load)
