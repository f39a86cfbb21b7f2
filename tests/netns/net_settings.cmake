icon_library(icon_net_test SOURCES net_sockets.cc net_world.cc LINKS icon_supervisor_net GTest::gtest)
target_compile_definitions(icon_net_test PRIVATE ICON_BIN_DIR="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")
set(net_LINKS icon_net_test)
set(net_PROGRAMS icon-tunnel)
