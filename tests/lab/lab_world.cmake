# A program that owns a lab and waits to be killed.
icon_program(lab_owner SOURCES lab_owner_main.cc LINKS icon_lab)

foreach(test world teardown island)
  icon_test(lab_${test}_test SOURCES lab_${test}_test.cc LINKS icon_lab TIMEOUT 120)
  target_compile_definitions(lab_${test}_test PRIVATE
    ICON_SOURCE_DIR="${CMAKE_SOURCE_DIR}" ICON_BIN_DIR="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")
  add_dependencies(lab_${test}_test icon-lab-relay icon-lab-guard lab_owner)
endforeach()
