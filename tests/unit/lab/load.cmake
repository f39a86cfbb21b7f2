icon_test(lab_load_test TOGETHER
  SOURCES load_checker_test.cc load_protocol_test.cc load_report_test.cc load_test.cc
  LINKS icon_lab_load)
icon_test(lab_demo_test TOGETHER
  SOURCES demo_result_test.cc demo_story_test.cc
  LINKS icon_lab)
