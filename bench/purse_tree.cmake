add_executable(icon-bench-purse-tree purse_tree_host.cc)
target_link_libraries(icon-bench-purse-tree PRIVATE icon_budget icon_sim_purse_tree)
