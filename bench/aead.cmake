icon_program(icon-bench-aead SOURCES aead_host.cc LINKS icon_supervisor_tunnel_wg)
