option(ICON_WERROR "Treat warnings as errors" OFF)
option(ICON_SANITIZE "Build with AddressSanitizer and UndefinedBehaviorSanitizer" OFF)

option(ICON_PCH "Precompile what most files include" ON)

# A build with precompiled headers is the fastest from nothing, and ccache would hash them again for
# every file; without them, a second clone finds what the first compiled. The settings travel with
# the compile line.
find_program(CCACHE ccache)
if(CCACHE AND NOT ICON_PCH)
  set(launcher ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1
      CCACHE_SLOPPINESS=time_macros ${CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${launcher})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${launcher})
endif()

add_library(icon_options INTERFACE)
# What runs rarely lies apart and what is never called is left out: the resident part of a program is
# what counts in a container, and the kernel maps 64 KiB around each page that is touched.
if(NOT ICON_SANITIZE)
  target_compile_options(icon_options INTERFACE -ffunction-sections -fdata-sections)
  target_compile_options(icon_options INTERFACE
                         $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-freorder-functions>
                         $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-freorder-blocks-and-partition>)
endif()
# g++ collects garbage too early for a machine of today: an eighth of its time.
target_compile_options(icon_options INTERFACE
                       $<$<COMPILE_LANG_AND_ID:CXX,GNU>:--param=ggc-min-expand=200>
                       $<$<COMPILE_LANG_AND_ID:CXX,GNU>:--param=ggc-min-heapsize=1000000>)
target_compile_options(icon_options INTERFACE -Wall -Wextra $<$<BOOL:${ICON_WERROR}>:-Werror>)
target_include_directories(icon_options INTERFACE ${CMAKE_SOURCE_DIR})
if(ICON_SANITIZE)
  target_compile_options(icon_options INTERFACE -fsanitize=address,undefined
                         -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
  target_link_options(icon_options INTERFACE -fsanitize=address,undefined)
endif()
# g++ 12 reports false positives inside Asio coroutines, tl::expected and std::string.
target_compile_options(icon_options INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wno-maybe-uninitialized>
                       "$<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-mismatched-new-delete;-Wno-array-bounds;-Wno-restrict;-Wno-stringop-overflow;-Wno-stringop-overread>")

target_compile_definitions(icon_options INTERFACE SPDLOG_FMT_EXTERNAL FMT_HEADER_ONLY
                           BOOST_ASIO_SEPARATE_COMPILATION BOOST_BEAST_SEPARATE_COMPILATION)

# Tests are compiled more often than they run: what they call is optimised, they are not.
set(ICON_TEST_OPTIONS $<$<CONFIG:RelWithDebInfo>:-O0>)

# What most files include anyway, parsed once. Never a header of ours: the includes of a file say
# what it depends on; clang-tidy and the sanitizer build read them without.
if(ICON_PCH)
  file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/pch.cc CONTENT "")
  # Not steady_timer, ip and the like: they include <netinet/tcp.h>, which <linux/tcp.h> cannot follow.
  set(asio <boost/asio/awaitable.hpp> <boost/asio/co_spawn.hpp> <boost/asio/io_context.hpp>
           <boost/asio/use_awaitable.hpp>)
  add_library(icon_pch OBJECT ${CMAKE_BINARY_DIR}/pch.cc)
  target_link_libraries(icon_pch PRIVATE icon_options)
  target_precompile_headers(icon_pch PRIVATE
    <algorithm> <chrono> <filesystem> <functional> <map> <memory> <optional> <set> <sstream> <string>
    <variant> <vector> <boost/json/parse.hpp> <boost/json/serialize.hpp> <boost/json/value.hpp>
    <fmt/format.h> <tl/expected.hpp> ${asio})
  add_library(icon_test_pch OBJECT ${CMAKE_BINARY_DIR}/pch.cc)
  target_compile_options(icon_test_pch PRIVATE ${ICON_TEST_OPTIONS})
  target_link_libraries(icon_test_pch PRIVATE icon_options GTest::gtest GTest::gmock)
  target_precompile_headers(icon_test_pch PRIVATE
    <gmock/gmock.h> <gtest/gtest.h> <chrono> <filesystem> <functional> <map> <memory> <optional>
    <set> <sstream> <string> <thread> <variant> <vector> <boost/json/parse.hpp>
    <boost/json/serialize.hpp> <boost/json/value.hpp> <fmt/format.h> <tl/expected.hpp> ${asio})
endif()

# Half of a file's compile time goes into templates that its neighbours use too. TOGETHER compiles a
# target's files eight at a time as one, except those that are named APART: they use a name for
# something of their own, or a kernel header that cannot follow another. Whoever works
# on one file sets it OFF: that also shows whether every file includes what it uses.
option(ICON_TOGETHER "Compile neighbouring files as one: for builds from nothing" ON)
function(icon_together name)
  cmake_parse_arguments(arg "TOGETHER" "" "APART" ${ARGN})
  if(ICON_TOGETHER AND arg_TOGETHER)
    set_target_properties(${name} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 8)
    set_source_files_properties(${arg_APART} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
    # The files' unnamed namespaces look like a header's then.
    target_compile_options(${name} PRIVATE
                           $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-subobject-linkage>)
  endif()
endfunction()

# icon_library(NAME [TOGETHER] SOURCES.. [APART..] LINKS..): one folder's library.
function(icon_library name)
  cmake_parse_arguments(arg "TOGETHER" "" "SOURCES;APART;LINKS" ${ARGN})
  add_library(${name} STATIC ${arg_SOURCES} ${arg_APART})
  icon_together(${name} ${ARGN})
  if(ICON_PCH)
    target_precompile_headers(${name} REUSE_FROM icon_pch)
  endif()
  target_link_libraries(${name} PUBLIC icon_options ${arg_LINKS})
endfunction()

# icon_program(NAME SOURCES.. LINKS..): an executable.
function(icon_program name)
  cmake_parse_arguments(arg "" "" "SOURCES;LINKS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  if(ICON_PCH)
    target_precompile_headers(${name} REUSE_FROM icon_pch)
  endif()
  target_link_libraries(${name} PRIVATE icon_options ${arg_LINKS})
endfunction()

# Of a hundred tests linking is a minute's work for GNU ld, a quarter of that for LLVM's. What is shipped is
# linked by the compiler's own.
find_program(LLD ld.lld)

# All unit tests: what the sanitizer run builds.
add_custom_target(icon_unit_tests)

# icon_test(NAME [TOGETHER] SOURCES.. [APART..] LINKS.. LABELS.. TIMEOUT s): one GoogleTest program, run by ctest as a
# whole. Its folder under tests/ is a label too. All run side by side, but of each kind that starts
# whole systems (a lab, Docker Engines, CRIU) only one at a time. What tests on namespaces of their own
# make is gone however they end (tests/guarded).
function(icon_test name)
  cmake_parse_arguments(arg "TOGETHER" "TIMEOUT" "SOURCES;APART;LINKS;LABELS" ${ARGN})
  add_executable(${name} ${arg_SOURCES} ${arg_APART})
  icon_together(${name} ${ARGN})
  if(ICON_PCH)
    target_precompile_headers(${name} REUSE_FROM icon_test_pch)
  endif()
  target_compile_options(${name} PRIVATE ${ICON_TEST_OPTIONS})
  if(LLD)
    target_link_options(${name} PRIVATE -fuse-ld=lld)
  endif()
  target_link_libraries(${name} PRIVATE ${arg_LINKS} GTest::gtest GTest::gmock GTest::gtest_main)
  set(guard "")
  if("netns" IN_LIST arg_LABELS)
    set(guard ${CMAKE_SOURCE_DIR}/tests/guarded)
  endif()
  add_test(NAME ${name} COMMAND ${guard} $<TARGET_FILE:${name}>)
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 60)
  endif()
  file(RELATIVE_PATH kind ${CMAKE_SOURCE_DIR}/tests ${CMAKE_CURRENT_SOURCE_DIR})
  string(REGEX REPLACE "/.*" "" kind "${kind}")
  list(APPEND arg_LABELS ${kind})
  list(REMOVE_DUPLICATES arg_LABELS)
  set(alone ${kind})
  if("netns" IN_LIST arg_LABELS OR "unit" IN_LIST arg_LABELS)
    set(alone "")
  endif()
  if("unit" IN_LIST arg_LABELS)
    add_dependencies(icon_unit_tests ${name})
  endif()
  # The report is where scripts/test reads how many cases passed, failed and were skipped.
  set_tests_properties(${name} PROPERTIES LABELS "${arg_LABELS}" TIMEOUT ${arg_TIMEOUT}
                       RESOURCE_LOCK "${alone}" ENVIRONMENT
                       "GTEST_OUTPUT=xml:${CMAKE_BINARY_DIR}/test-reports/${name}.xml")
endfunction()
