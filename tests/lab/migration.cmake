# Whole moves need redis' root directory, made once from Debian's packages.
find_program(ICON_CRIU criu HINTS ${CMAKE_SOURCE_DIR}/.deps/criu/sbin NO_DEFAULT_PATH)
find_program(ICON_CRIU criu REQUIRED)
set(redis_rootfs ${CMAKE_BINARY_DIR}/rootfs/redis)
add_custom_command(
  OUTPUT ${redis_rootfs}.stamp
  COMMAND ${CMAKE_SOURCE_DIR}/images/redis/build ${redis_rootfs}
  COMMAND ${CMAKE_COMMAND} -E touch ${redis_rootfs}.stamp
  VERBATIM)
add_custom_target(redis_rootfs DEPENDS ${redis_rootfs}.stamp)

foreach(test migration endurance)
  icon_test(${test}_lab_test SOURCES ${test}_test.cc LINKS icon_lab TIMEOUT 300)
  target_compile_definitions(${test}_lab_test PRIVATE ICON_CRIU="${ICON_CRIU}"
    ICON_SOURCE_DIR="${CMAKE_SOURCE_DIR}" ICON_REDIS_ROOTFS="${redis_rootfs}")
  add_dependencies(${test}_lab_test redis_rootfs icon icon-agent icon-supervisor icon-tunnel
    icon-stub icon-criu-hold icon-pages icon-freeze-guard icon-lab-relay icon-lab-guard icon-lab-load)
endforeach()
