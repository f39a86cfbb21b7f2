icon_program(icon-bench-dns-host SOURCES dns_host.cc LINKS icon_discovery)
