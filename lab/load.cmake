# The lab's users.
icon_library(icon_lab_load
  SOURCES load.cc load_checker.cc load_client.cc load_protocol.cc load_report.cc
  LINKS icon_lab)
add_executable(icon-lab-load load_main.cc)
target_link_libraries(icon-lab-load PRIVATE icon_lab_load)
