# Replicas of a service whose randomness can be looked at.
set(service_roots ${CMAKE_BINARY_DIR}/rootfs)
set(service_files ${CMAKE_CURRENT_SOURCE_DIR}/services)
set(image_files ${CMAKE_SOURCE_DIR}/images)
add_custom_command(
  OUTPUT ${service_roots}/dice.stamp
  COMMAND ${image_files}/make-rootfs ${service_roots}/dice python3 nodejs
          --add-file ${service_files}/dice.py:/srv/dice.py
          --add-file ${service_files}/dice.js:/srv/dice.js
  COMMAND ${CMAKE_COMMAND} -E touch ${service_roots}/dice.stamp
  DEPENDS ${service_files}/dice.py ${service_files}/dice.js VERBATIM)
add_custom_target(service_root_dice DEPENDS ${service_roots}/dice.stamp)
icon_test(replicas_lab_test SOURCES replicas_test.cc LINKS icon_lab icon_budget_sqlite TIMEOUT 280)
target_compile_definitions(replicas_lab_test PRIVATE ICON_CRIU="${ICON_CRIU}"
  ICON_DICE_ROOT="${service_roots}/dice")
add_dependencies(replicas_lab_test service_root_dice icon icon-agent icon-supervisor icon-tunnel
  icon-stub icon-criu-hold icon-pages icon-freeze-guard icon-lab-relay icon-lab-guard icon-lab-load)
