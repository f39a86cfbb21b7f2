set(stub_PROGRAMS icon-stub)
