set(tunnel_LINKS icon_supervisor_net)
set(tunnel_PROGRAMS icon-tunnel)
