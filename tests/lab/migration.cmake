find_program(ICON_CRIU criu HINTS ${CMAKE_SOURCE_DIR}/.deps/criu/sbin NO_DEFAULT_PATH)
find_program(ICON_CRIU criu REQUIRED)
add_library(icon_window_world STATIC window_world.cc)
target_compile_options(icon_window_world PRIVATE ${ICON_TEST_OPTIONS})
target_compile_definitions(icon_window_world PUBLIC ICON_CRIU="${ICON_CRIU}"
  ICON_SOURCE_DIR="${CMAKE_SOURCE_DIR}" ICON_REDIS_ROOTFS="${ICON_IMAGES}/redis/rootfs")
target_link_libraries(icon_window_world PUBLIC icon_lab GTest::gtest)
foreach(test migration busy_host endurance redirect replica_deaths)
  icon_test(${test}_lab_test SOURCES ${test}_test.cc LINKS icon_window_world TIMEOUT 300)
  target_compile_definitions(${test}_lab_test PRIVATE ICON_CRIU="${ICON_CRIU}"
    ICON_SOURCE_DIR="${CMAKE_SOURCE_DIR}" ICON_REDIS_ROOTFS="${ICON_IMAGES}/redis/rootfs")
  add_dependencies(${test}_lab_test image_redis icon icon-agent icon-supervisor icon-tunnel
    icon-stub icon-criu-hold icon-pages icon-freeze-guard icon-lab-relay icon-lab-guard icon-lab-load)
endforeach()
