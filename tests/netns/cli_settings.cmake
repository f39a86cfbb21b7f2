set(cli_PROGRAMS icon-supervisor icon-stub icon-agent icon-tunnel icon-core-echo)
