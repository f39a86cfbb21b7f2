# Services that the project knows nothing about, as anybody would bring them.
set(service_roots ${CMAKE_BINARY_DIR}/rootfs)
set(service_files ${CMAKE_CURRENT_SOURCE_DIR}/services)
set(image_files ${CMAKE_SOURCE_DIR}/images)
function(icon_service_root name)
  add_custom_command(
    OUTPUT ${service_roots}/${name}.stamp
    COMMAND ${ARGN}
    COMMAND ${CMAKE_COMMAND} -E touch ${service_roots}/${name}.stamp
    DEPENDS ${service_files}/index.html VERBATIM)
  set_property(GLOBAL APPEND PROPERTY icon_service_stamps ${service_roots}/${name}.stamp)
endfunction()
icon_service_root(python ${image_files}/make-rootfs ${service_roots}/python python3
                  --add-file ${service_files}/index.html:/srv/index.html)
icon_service_root(memcached ${image_files}/make-rootfs ${service_roots}/memcached memcached)
get_property(stamps GLOBAL PROPERTY icon_service_stamps)
add_custom_target(service_roots DEPENDS ${stamps} image_nginx)

foreach(test services small_slot)
  icon_test(${test}_lab_test SOURCES ${test}_test.cc LINKS icon_lab TIMEOUT 200)
  target_compile_definitions(${test}_lab_test PRIVATE ICON_CRIU="${ICON_CRIU}"
    ICON_SOURCE_DIR="${CMAKE_SOURCE_DIR}" ICON_SERVICE_ROOTS="${service_roots}"
    ICON_IMAGES_DIR="${ICON_IMAGES}")
  add_dependencies(${test}_lab_test service_roots icon icon-agent icon-supervisor icon-tunnel
    icon-stub icon-criu-hold icon-pages icon-freeze-guard icon-lab-relay icon-lab-guard icon-lab-load)
endforeach()
