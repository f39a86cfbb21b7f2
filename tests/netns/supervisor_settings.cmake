# A service for the supervisor's tests that runs in an empty root.
add_executable(icon-core-echo supervisor_echo_main.cc)
target_link_options(icon-core-echo PRIVATE -static -no-pie)
set(supervisor_LINKS icon_supervisor icon_budget_sqlite)
set(supervisor_PROGRAMS icon icon-supervisor icon-agent icon-tunnel icon-core-echo)
if(TARGET icon-dht)
  list(APPEND supervisor_PROGRAMS icon-dht)
endif()
