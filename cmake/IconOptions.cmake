option(ICON_WERROR "Treat warnings as errors" OFF)
option(ICON_SANITIZE "Build with AddressSanitizer and UndefinedBehaviorSanitizer" OFF)

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

add_library(icon_options INTERFACE)
target_compile_options(icon_options INTERFACE -Wall -Wextra $<$<BOOL:${ICON_WERROR}>:-Werror>)
target_include_directories(icon_options INTERFACE ${CMAKE_SOURCE_DIR})
if(ICON_SANITIZE)
  target_compile_options(icon_options INTERFACE -fsanitize=address,undefined
                         -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
  target_link_options(icon_options INTERFACE -fsanitize=address,undefined)
endif()
# g++ 12 reports false positives inside Asio coroutines and tl::expected.
target_compile_options(icon_options INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wno-maybe-uninitialized>)

# icon_library(NAME SOURCES.. LINKS..): one folder's library.
function(icon_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;LINKS" ${ARGN})
  add_library(${name} STATIC ${arg_SOURCES})
  target_link_libraries(${name} PUBLIC icon_options ${arg_LINKS})
endfunction()

# icon_test(NAME SOURCES.. LINKS.. LABELS..): one GoogleTest program, run by ctest as a whole.
function(icon_test name)
  cmake_parse_arguments(arg "" "TIMEOUT" "SOURCES;LINKS;LABELS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_LINKS} GTest::gtest GTest::gmock GTest::gtest_main)
  add_test(NAME ${name} COMMAND ${name})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 60)
  endif()
  set_tests_properties(${name} PROPERTIES LABELS "${arg_LABELS}" TIMEOUT ${arg_TIMEOUT})
endfunction()
