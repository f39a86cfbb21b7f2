# `icon demo`; its world is compiled in, so that the program needs no source tree.
set(topology ${CMAKE_CURRENT_SOURCE_DIR}/topologies/demo.yaml)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${topology})
file(READ ${topology} ICON_DEMO_TOPOLOGY)
configure_file(demo_topology.h.in ${CMAKE_BINARY_DIR}/generated/lab/demo_topology.h @ONLY)
target_sources(icon_lab PRIVATE demo.cc demo_data.cc demo_play.cc demo_result.cc demo_story.cc
                                demo_world.cc)
set_source_files_properties(demo.cc demo_play.cc demo_story.cc PROPERTIES
                            SKIP_UNITY_BUILD_INCLUSION ON)
target_include_directories(icon_lab PRIVATE ${CMAKE_BINARY_DIR}/generated)
target_compile_definitions(icon_lab PUBLIC ICON_WITH_DEMO)

# What a run of the demo needs: not the tests.
add_custom_target(icon_demo_programs)
add_dependencies(icon_demo_programs icon icon-agent icon-supervisor icon-tunnel icon-stub
                 icon-criu-hold icon-pages icon-freeze-guard icon-lab-relay icon-lab-guard icon-lab-load)
