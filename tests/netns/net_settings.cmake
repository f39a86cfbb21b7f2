set(net_LINKS icon_supervisor_net)
set(net_PROGRAMS icon-tunnel)
