icon_test(lab_load_test
  SOURCES load_checker_test.cc load_protocol_test.cc load_report_test.cc load_test.cc
  LINKS icon_lab_load)
