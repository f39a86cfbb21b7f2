# `icon demo`.
target_sources(icon_lab PRIVATE demo_result.cc demo_story.cc)
