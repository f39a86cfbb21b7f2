// ICMP errors about connections that bypass netfilter.
#pragma once

#include "supervisor/net/bpf/packet.h"

#define ICMP_DEST_UNREACH 3
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETERPROB 12

struct icmp_header {
  __u8 type;
  __u8 code;
  __u16 checksum;
  __u32 rest;
};

// An ICMP error about a packet of a connection that bypasses netfilter: conntrack has never seen
// that connection, so nobody but us can tell whose the error is.
struct icmp_error {
  __u32 source;  // of the error itself
  __u32 destination;
  __u8 ttl;
  __u16 length;
  __u32 about_source;  // of the packet it quotes
  __u32 about_destination;
  __u16 about_source_port;
  __u16 about_destination_port;
  __u8 protocol;
};
struct quoting {
  struct iphdr ip;
  struct icmp_header icmp;
  struct iphdr about;
  struct udphdr ports;
} __attribute__((packed));

static __always_inline int parse_icmp(struct __sk_buff *skb, __u32 l2, struct icmp_error *e) {
  if (skb->protocol != bpf_htons(ETH_P_IP) || skb->pkt_type != PACKET_HOST || skb->vlan_present)
    return 0;
  const struct iphdr *ip = (void *)(long)skb->data + l2;
  if ((const void *)(ip + 1) > (void *)(long)skb->data_end || ip->protocol != IPPROTO_ICMP)
    return 0;
  bpf_skb_pull_data(skb, l2 + sizeof(struct quoting));
  const struct quoting *q = (void *)(long)skb->data + l2;
  if ((const void *)(q + 1) > (void *)(long)skb->data_end) return 0;
  if (q->ip.version != 4 || q->ip.ihl != 5 || (q->ip.frag_off & bpf_htons(FRAGMENT_BITS)) ||
      q->ip.ttl <= 1)
    return 0;
  if (q->icmp.type != ICMP_DEST_UNREACH && q->icmp.type != ICMP_TIME_EXCEEDED &&
      q->icmp.type != ICMP_PARAMETERPROB)
    return 0;
  if (q->about.version != 4 || q->about.ihl != 5 ||
      (q->about.frag_off & bpf_htons(FRAGMENT_OFFSET)))
    return 0;
  e->source = q->ip.saddr;
  e->destination = q->ip.daddr;
  e->ttl = q->ip.ttl;
  e->length = bpf_ntohs(q->ip.tot_len);
  e->about_source = q->about.saddr;
  e->about_destination = q->about.daddr;
  e->about_source_port = q->ports.source;
  e->about_destination_port = q->ports.dest;
  e->protocol = q->about.protocol;
  return e->protocol == IPPROTO_TCP || e->protocol == IPPROTO_UDP;
}

// Within the quoted packet an address and the header's checksum change by the same amount, so that
// only the port is left to be made up for in the error's own checksum.
static __always_inline int rewrite_icmp(struct __sk_buff *skb, __u32 l2, const struct icmp_error *e,
                                        int to_icon, __u32 address, __u16 port) {
  const __u16 old_port = to_icon ? e->about_source_port : e->about_destination_port;
  if (old_port != port)
    bpf_l4_csum_replace(skb, l2 + offsetof(struct quoting, icmp.checksum), old_port, port, 2);
  struct quoting *q = (void *)(long)skb->data + l2;
  if ((void *)(q + 1) > (void *)(long)skb->data_end) return 0;
  const __u32 outer = to_icon ? e->destination : e->source;
  const __u32 inner = to_icon ? e->about_source : e->about_destination;
  q->ip.check = check_after(q->ip.check, outer, address, bpf_htons(0x0100));
  q->ip.ttl = e->ttl - 1;
  q->about.check = check_after(q->about.check, inner, address, 0);
  if (to_icon) {
    q->ip.daddr = address;
    q->about.saddr = address;
    q->ports.source = port;
  } else {
    q->ip.saddr = address;
    q->about.daddr = address;
    q->ports.dest = port;
  }
  return 1;
}

// About what an ICON has sent: no route, too big, nobody listens.
static __always_inline int icmp_to_icon(struct __sk_buff *skb, const struct icon_settings *set) {
  struct icmp_error e;
  if (!parse_icmp(skb, ETH_HLEN, &e) || e.destination != set->public_address ||
      e.about_source != set->public_address)
    return TC_ACT_OK;
  const struct icon_port_key at = {.port = e.about_source_port, .protocol = e.protocol};
  const struct icon_port *port = bpf_map_lookup_elem(&ports, &at);
  if (!port) return TC_ACT_OK;
  const struct icon_flow_key key = {.client = e.about_destination,
                                    .overlay = port->overlay,
                                    .client_port = e.about_destination_port,
                                    .port = port->port,
                                    .protocol = e.protocol};
  const struct icon_flow *flow = bpf_map_lookup_elem(&flows, &key);
  const struct icon_overlay *home = bpf_map_lookup_elem(&overlays, &key.overlay);
  if (!flow || flow->way != kIconWayOutside || flow->public_port != e.about_source_port || !home ||
      home->from_outside.to == 0)
    return TC_ACT_OK;
  if (!rewrite_icmp(skb, ETH_HLEN, &e, 1, key.overlay, key.port)) return TC_ACT_SHOT;
  return send(skb, ETH_HLEN, &home->from_outside, key.overlay);
}

// About what a client has sent, by the ICON's own kernel. `overlay`: the sender, checked.
static __always_inline int icmp_from_overlay(struct __sk_buff *skb, __u32 l2, __u32 overlay,
                                             const struct icmp_error *e) {
  const struct icon_settings *set = get_settings();
  if (!set || e->source != overlay || e->about_destination != overlay ||
      e->about_source != e->destination)
    return TC_ACT_OK;
  const struct icon_flow_key key = {.client = e->about_source,
                                    .overlay = overlay,
                                    .client_port = e->about_source_port,
                                    .port = e->about_destination_port,
                                    .protocol = e->protocol};
  const struct icon_flow *flow = bpf_map_lookup_elem(&flows, &key);
  if (!flow) return TC_ACT_OK;
  if (flow->way == kIconWayOutside) {
    struct icon_target out;
    const __u32 hop = route_outside(skb, set, e->destination, e->length, &out);
    const __u16 port = flow->public_port;
    if (!hop) return TC_ACT_OK;
    if (!rewrite_icmp(skb, l2, e, 0, set->public_address, port)) return TC_ACT_SHOT;
    return send(skb, l2, &out, hop);
  }
  const __u32 way = flow->way;
  const struct icon_delivery_key peer = {.way = way, .overlay = overlay};
  const __u32 *allowed = bpf_map_lookup_elem(&deliveries, &peer);
  const struct icon_target *tunnel = bpf_map_lookup_elem(&tunnels, &way);
  if (!allowed || !(*allowed & kIconDeliverTo) || !tunnel || tunnel->to == 0) return TC_ACT_OK;
  if (!rewrite_icmp(skb, l2, e, 0, overlay, e->about_destination_port)) return TC_ACT_SHOT;
  return send(skb, l2, tunnel, e->destination);
}
