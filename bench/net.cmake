add_executable(icon-bench-net-host net_host.cc)
target_link_libraries(icon-bench-net-host PRIVATE icon_supervisor_net)
