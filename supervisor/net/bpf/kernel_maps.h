// The maps of the BPF programs, as the kernel makes them; their layout: maps.h.
#pragma once

// clang-format off: the helpers need the types
#include <bpf/bpf_helpers.h>
#include <linux/bpf.h>
// clang-format on

#include "supervisor/net/bpf/maps.h"

#define HASH(name, key_type, value_type, entries) \
  struct {                                        \
    __uint(type, BPF_MAP_TYPE_HASH);              \
    __uint(max_entries, entries);                 \
    __uint(map_flags, BPF_F_NO_PREALLOC);         \
    __type(key, key_type);                        \
    __type(value, value_type);                    \
  } name SEC(".maps")

HASH(ports, struct icon_port_key, struct icon_port, kIconPortsMax);
HASH(overlays, __u32, struct icon_overlay, kIconOverlaysMax);
HASH(interfaces, __u32, struct icon_interface, kIconInterfacesMax);
HASH(deliveries, struct icon_delivery_key, __u32, kIconDeliveriesMax);
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, kIconWaysMax);
  __type(key, __u32);
  __type(value, struct icon_target);
} tunnels SEC(".maps");
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, kIconFlowsMax);
  __type(key, struct icon_flow_key);
  __type(value, struct icon_flow);
} flows SEC(".maps");
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct icon_settings);
} settings SEC(".maps");
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u64);
} forwarded SEC(".maps");
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_HASH);
  __uint(max_entries, kIconStubsMax);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, __u32);
  __type(value, struct icon_traffic);
} stub_traffic SEC(".maps");
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct icon_traffic);
} stub_sum SEC(".maps");

static __always_inline struct icon_settings *get_settings(void) {
  const __u32 zero = 0;
  return bpf_map_lookup_elem(&settings, &zero);
}
