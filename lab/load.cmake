# The lab's users: a program, and its driver for tests and the demo.
icon_library(icon_lab_load TOGETHER
  SOURCES load.cc load_checker.cc load_protocol.cc load_report.cc
  LINKS icon_base)
icon_program(icon-lab-load SOURCES load_main.cc LINKS icon_lab_load CLI11::CLI11)
target_sources(icon_lab PRIVATE load_client.cc)
set_source_files_properties(load_client.cc PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
target_link_libraries(icon_lab PUBLIC icon_lab_load)
