icon_program(icon-bench-purse-tree SOURCES purse_tree_host.cc LINKS icon_budget icon_sim_purse_tree)
