// What the supervisor and the programs in forward.bpf.c share: the layout of the maps. Plain C for
// both. Addresses and ports are in network byte order, as in the packet.
#pragma once

#include <linux/types.h>

// Which way a packet came or goes: 0 is the world, else the number of a tunnel (its mark without
// the base).
enum { kIconWayOutside = 0, kIconWaysMax = 1025 };

// Marks for nftables on packets that the fast path leaves to it: what only the fast path knows.
enum {
  kIconMarkHome = 0x4943fffe,   // belongs to a connection whose home is this host
  kIconMarkClash = 0x4943fffd,  // the ICON knows another connection by the same four numbers
};

// `ports`: what is published here.
struct icon_port_key {
  __u16 port;
  __u8 protocol;
  __u8 zero;
};
struct icon_port {
  __u32 overlay;
  __u16 port;
  __u16 zero;
};

// `overlays`, by overlay address: where its packets go now. An interface of 0: nftables decides.
enum {
  kIconLinkPlain = 0,     // no link-layer header: a TUN device
  kIconLinkEthernet = 1,  // the neighbour table knows the MAC address
  kIconLinkVeth = 2,      // the other end of the pair gets the packet at once
};
struct icon_target {
  __u32 to;  // interface index
  __u32 link;
};
struct icon_overlay {
  struct icon_target from_outside;
  struct icon_target from_tunnel;
  __u32 redirects_tcp;  // new TCP connections are for the stub process
};

// `interfaces`, by index: of veths, the ICON behind it. Of tunnels, the
// number. The interfaces towards the world stand here too, with a way of 0 and no overlay.
struct icon_interface {
  __u32 overlay;
  __u32 way;
  __u32 closed;  // nftables decides, and hears whose a packet is
};

// `deliveries`: what a tunnel's peer may send, as bits.
enum { kIconDeliverTo = 1, kIconDeliverFrom = 2 };
struct icon_delivery_key {
  __u32 way;
  __u32 overlay;
};

// `flows`: the connections that bypass netfilter, in both directions. Only they do.
struct icon_flow_key {
  __u32 client;
  __u32 overlay;
  __u16 client_port;
  __u16 port;
  __u32 protocol;
};
struct icon_flow {
  __u32 seen;  // when, in units of 2^30 ns
  __u16 way;   // how the client's packets come
  __u16 public_port;
  __u32 closed;  // kIconEnd*
};
// What was seen of its end. One FIN leaves the other half open.
enum { kIconEndByClient = 1, kIconEndByIcon = 2, kIconEndByReset = 4 };
static inline int icon_flow_has_ended(const struct icon_flow *flow) {
  const __u32 both = kIconEndByClient | kIconEndByIcon;
  return (flow->closed & kIconEndByReset) || (flow->closed & both) == both;
}

// `stub_traffic`, by overlay address of each ICON with a stub here, and `stub_sum`, of all that
// ever were. Packets as the kernel hands them over: one may be several segments.
struct icon_traffic {
  __u64 packets_to;  // towards the ICON
  __u64 bytes_to;    // from the IP header on
  __u64 packets_from;
  __u64 bytes_from;
  __u64 connections;  // begun
};

// `settings`, one element.
struct icon_settings {
  __u32 public_address;
  __u32 mtu;      // of the ICONs and the tunnels
  __u32 mss_max;  // larger ones in a SYN are lowered to this
};

enum {
  kIconPortsMax = 65536,
  kIconOverlaysMax = 32768,
  kIconInterfacesMax = 16384,
  kIconDeliveriesMax = 65536,
  kIconFlowsMax = 131072,
  kIconStubsMax = 32768,
};
