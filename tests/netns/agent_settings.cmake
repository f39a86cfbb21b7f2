# A service for the agent's tests that runs in an empty image.
add_executable(icon-agent-test-service agent_test_service.cc)
target_link_options(icon-agent-test-service PRIVATE -static -no-pie)
set(agent_LINKS icon_base_server)
set(agent_PROGRAMS icon-agent icon-agent-test-service)
