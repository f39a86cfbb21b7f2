# Hosts of one owner: standbys, and a swarm that meets in etcd.
find_program(ICON_ETCD etcd REQUIRED)
icon_test(continuity_lab_test SOURCES continuity_test.cc LINKS icon_lab TIMEOUT 200)
target_compile_definitions(continuity_lab_test PRIVATE ICON_ETCD="${ICON_ETCD}"
  ICON_CRIU="${ICON_CRIU}" ICON_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
  ICON_REDIS_ROOTFS="${ICON_IMAGES}/redis/rootfs")
add_dependencies(continuity_lab_test image_redis icon icon-agent icon-supervisor icon-tunnel
  icon-stub icon-criu-hold icon-pages icon-freeze-guard icon-lab-relay icon-lab-guard icon-lab-load)
