icon_program(icon-bench-net-host SOURCES net_host.cc LINKS icon_supervisor_net)
