# A service for the agent's tests that runs in an empty image, and a supervisor that only talks.
add_executable(icon-agent-test-service agent_test_service.cc)
target_link_options(icon-agent-test-service PRIVATE -static -no-pie)
icon_library(icon_agent_fake SOURCES agent_fake_supervisor.cc LINKS icon_base_server icon_wire)
set(agent_LINKS icon_agent_fake icon_lab)
set(agent_PROGRAMS icon-agent icon-agent-test-service)
