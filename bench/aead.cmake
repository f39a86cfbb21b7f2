add_executable(icon-bench-aead aead_host.cc)
target_link_libraries(icon-bench-aead PRIVATE icon_supervisor_tunnel_wg)
