icon_test(dns_probe_lab_test SOURCES dns_probe_lab_test.cc LINKS icon_lab TIMEOUT 60)
