# A service for the agent's tests that runs in an empty image, and a supervisor that only talks.
add_executable(icon-agent-test-service agent_test_service.cc)
target_link_options(icon-agent-test-service PRIVATE -static -no-pie)
icon_library(icon_agent_fake SOURCES agent_fake_supervisor.cc LINKS icon_base_server icon_budget icon_wire)
set(agent_LINKS icon_agent_fake icon_budget_sqlite icon_lab)
set(agent_PROGRAMS icon icon-agent icon-agent-test-service)

# With the real runc and CRIU; it takes more libraries than its neighbours.
find_program(ICON_CRIU criu HINTS ${CMAKE_SOURCE_DIR}/.deps/criu/sbin NO_DEFAULT_PATH)
find_program(ICON_CRIU criu REQUIRED)
icon_test(netns_agent_checkpoint_test
  SOURCES agent_checkpoint.cc ${CMAKE_SOURCE_DIR}/supervisor/cgroup.cc
  LINKS icon_agent_fake icon_migration TIMEOUT 120)
target_compile_definitions(netns_agent_checkpoint_test PRIVATE
  ICON_CRIU="${ICON_CRIU}" ICON_BIN_DIR="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")
add_dependencies(netns_agent_checkpoint_test icon-agent icon-agent-test-service icon-criu-hold)
