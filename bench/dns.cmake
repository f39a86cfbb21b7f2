add_executable(icon-bench-dns-host dns_host.cc)
target_link_libraries(icon-bench-dns-host PRIVATE icon_discovery)
