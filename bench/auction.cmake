icon_program(icon-bench-auction SOURCES auction_host.cc LINKS icon_budget icon_sim_auction)
