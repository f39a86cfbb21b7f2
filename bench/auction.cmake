add_executable(icon-bench-auction auction_host.cc)
target_link_libraries(icon-bench-auction PRIVATE icon_budget icon_sim_auction)
