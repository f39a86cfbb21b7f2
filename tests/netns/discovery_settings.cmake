set(discovery_PROGRAMS icon-trace)
