// Reading a packet, rewriting it, sending it on: what the BPF programs do to bytes.
#pragma once

#include <bpf/bpf_endian.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <stddef.h>

#include "supervisor/net/bpf/kernel_maps.h"

#define AF_INET 2
#define TUNNEL_MARK_BASE 0x49430000
#define FRAGMENT_BITS 0x3fff  // "more fragments" and the offset
#define FRAGMENT_OFFSET 0x1fff
#define IDLE_UDP 112        // two minutes in units of 2^30 ns, as conntrack's for a stream
#define TCP_OPTIONS_MAX 10  // looked at for the segment size
#define MSS_OPTION 2

struct packet {
  __u32 source;
  __u32 destination;
  __u16 source_port;
  __u16 destination_port;
  __u16 length;
  __u16 fragment;
  __u8 protocol;
  __u8 ttl;
  __u8 syn;    // the first packet of a TCP connection, without ACK
  __u8 clamp;  // SYN, with or without ACK: may carry a segment size
  __u8 fin;
  __u8 rst;
};

// False: nothing for us. `l2`: bytes before the IP header.
static __always_inline int parse(struct __sk_buff *skb, __u32 l2, struct packet *p) {
  if (skb->protocol != bpf_htons(ETH_P_IP) || skb->pkt_type != PACKET_HOST || skb->vlan_present)
    return 0;
  if ((void *)(long)skb->data + l2 + sizeof(struct iphdr) + sizeof(struct tcphdr) >
      (void *)(long)skb->data_end)
    bpf_skb_pull_data(skb, l2 + sizeof(struct iphdr) + sizeof(struct tcphdr));
  const void *end = (void *)(long)skb->data_end;
  const struct iphdr *ip = (void *)(long)skb->data + l2;
  const struct udphdr *ports_of = (const void *)(ip + 1);
  if ((const void *)(ports_of + 1) > end || ip->version != 4 || ip->ihl != 5) return 0;
  p->fragment = bpf_ntohs(ip->frag_off);
  if (p->fragment & FRAGMENT_OFFSET) return 0;
  p->source = ip->saddr;
  p->destination = ip->daddr;
  p->source_port = ports_of->source;
  p->destination_port = ports_of->dest;
  p->length = bpf_ntohs(ip->tot_len);
  p->protocol = ip->protocol;
  p->ttl = ip->ttl;
  p->syn = p->clamp = p->fin = p->rst = 0;
  if (p->protocol == IPPROTO_UDP) return 1;
  const struct tcphdr *tcp = (const void *)(ip + 1);
  if (p->protocol != IPPROTO_TCP || (const void *)(tcp + 1) > end) return 0;
  p->syn = tcp->syn && !tcp->ack;
  p->clamp = tcp->syn;
  p->fin = tcp->fin;
  p->rst = tcp->rst;
  return 1;
}

// What is on the wire at the next hop: a large packet is cut into segments before.
static __always_inline __u32 wire_bytes(struct __sk_buff *skb, __u32 l2, const struct packet *p) {
  if (skb->gso_size == 0) return p->length;
  if (p->protocol == IPPROTO_UDP)
    return sizeof(struct iphdr) + sizeof(struct udphdr) + skb->gso_size;
  const struct tcphdr *tcp = (void *)(long)skb->data + l2 + sizeof(struct iphdr);
  if ((const void *)(tcp + 1) > (void *)(long)skb->data_end) return p->length;
  return sizeof(struct iphdr) + tcp->doff * 4 + skb->gso_size;
}

// Lowers the segment size in a SYN. False: an option where we do not change it.
static __always_inline int clamp_mss(struct __sk_buff *skb, __u32 l2, __u32 mss_max) {
  const __u32 tcp_at = l2 + sizeof(struct iphdr);
  const struct tcphdr *tcp = (void *)(long)skb->data + tcp_at;
  if ((const void *)(tcp + 1) > (void *)(long)skb->data_end) return 0;
  const __u32 end = tcp_at + tcp->doff * 4;
  __u32 at = tcp_at + sizeof(struct tcphdr);
  for (int i = 0; i < TCP_OPTIONS_MAX; ++i) {
    __u8 option[4] = {};
    if (at + 1 > end || bpf_skb_load_bytes(skb, at, option, 1) != 0) return 1;
    if (option[0] == 0) return 1;
    if (option[0] == 1) {
      at += 1;
      continue;
    }
    if (bpf_skb_load_bytes(skb, at, option, 2) != 0 || option[1] < 2) return 0;
    if (option[0] != MSS_OPTION) {
      at += option[1];
      continue;
    }
    if (option[1] != 4 || at + 4 > end || bpf_skb_load_bytes(skb, at, option, 4) != 0) return 0;
    const __u32 mss = (__u32)option[2] << 8 | option[3];
    if (mss <= mss_max) return 1;
    if ((at - tcp_at) & 1) return 0;  // the checksum would need it swapped
    const __u16 before = bpf_htons(mss), after = bpf_htons(mss_max);
    bpf_l4_csum_replace(skb, tcp_at + offsetof(struct tcphdr, check), before, after, 2);
    bpf_skb_store_bytes(skb, at + 2, &after, sizeof after, 0);
    return 1;
  }
  return 1;
}

// RFC 1624, equation 3: a header's checksum after one of its addresses has changed.
static __always_inline __u16 check_after(__u16 check, __u32 before, __u32 after, __u16 ttl_step) {
  __u32 sum = (__u16)~check;
  if (ttl_step) sum += (__u16)~ttl_step;
  sum += (__u16) ~(before & 0xffff) + (after & 0xffff);
  sum += (__u16) ~(before >> 16) + (after >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return ~sum;
}

// One address and its port become others, the TTL one less. Addresses that stay are given twice.
static __always_inline int rewrite(struct __sk_buff *skb, __u32 l2, const struct packet *p,
                                   int is_source, __u32 address, __u16 port) {
  const __u32 l4 = l2 + sizeof(struct iphdr);
  const __u32 old_address = is_source ? p->source : p->destination;
  const __u16 old_port = is_source ? p->source_port : p->destination_port;
  const int udp = p->protocol == IPPROTO_UDP;
  const __u32 check = l4 + (udp ? offsetof(struct udphdr, check) : offsetof(struct tcphdr, check));
  const __u64 keep_zero = udp ? BPF_F_MARK_MANGLED_0 : 0;
  if (old_address != address)
    bpf_l4_csum_replace(skb, check, old_address, address, keep_zero | BPF_F_PSEUDO_HDR | 4);
  if (old_port != port) bpf_l4_csum_replace(skb, check, old_port, port, keep_zero | 2);
  struct iphdr *ip = (void *)(long)skb->data + l2;
  struct udphdr *ports_of = (void *)(ip + 1);
  if ((void *)(ports_of + 1) > (void *)(long)skb->data_end) return 0;
  ip->check = check_after(ip->check, old_address, address, bpf_htons(0x0100));
  ip->ttl = p->ttl - 1;
  if (is_source) {
    ip->saddr = address;
    ports_of->source = port;
  } else {
    ip->daddr = address;
    ports_of->dest = port;
  }
  return 1;
}

static __always_inline void count(void) {
  const __u32 zero = 0;
  __u64 *packets = bpf_map_lookup_elem(&forwarded, &zero);
  if (packets) ++*packets;
}

static __always_inline void add_to(struct icon_traffic *traffic, __u16 bytes) {
  ++traffic->packets_to;
  traffic->bytes_to += bytes;
}

static __always_inline void add_from(struct icon_traffic *traffic, __u16 bytes) {
  ++traffic->packets_from;
  traffic->bytes_from += bytes;
}

// Into a tunnel, to where the ICON is now. `bytes`: with the IP header.
static __always_inline void count_to(__u32 overlay, __u16 bytes, int begins) {
  const __u32 zero = 0;
  struct icon_traffic *stub = bpf_map_lookup_elem(&stub_traffic, &overlay);
  struct icon_traffic *sum = bpf_map_lookup_elem(&stub_sum, &zero);
  if (!stub || !sum) return;
  add_to(stub, bytes);
  add_to(sum, bytes);
  if (!begins) return;
  ++stub->connections;
  ++sum->connections;
}

static __always_inline void count_from(__u32 overlay, __u16 bytes) {
  const __u32 zero = 0;
  struct icon_traffic *stub = bpf_map_lookup_elem(&stub_traffic, &overlay);
  struct icon_traffic *sum = bpf_map_lookup_elem(&stub_sum, &zero);
  if (!stub || !sum) return;
  add_from(stub, bytes);
  add_from(sum, bytes);
}

// `hop`: whose neighbour entry has the MAC address, on an Ethernet.
static __always_inline int send(struct __sk_buff *skb, __u32 l2, const struct icon_target *target,
                                __u32 hop) {
  count();
  if (target->link == kIconLinkPlain) return bpf_redirect(target->to, 0);
  if (l2 == 0) {
    // Nobody inside looks at the MAC addresses, but sniffers expect some.
    const struct ethhdr header = {.h_proto = bpf_htons(ETH_P_IP)};
    if (bpf_skb_change_head(skb, ETH_HLEN, 0) != 0) return TC_ACT_SHOT;
    bpf_skb_store_bytes(skb, 0, &header, sizeof header, 0);
  }
  if (target->link == kIconLinkVeth) return bpf_redirect_peer(target->to, 0);
  struct bpf_redir_neigh next = {.nh_family = AF_INET};
  next.ipv4_nh = hop;
  return bpf_redirect_neigh(target->to, &next, sizeof next, 0);
}

// The next hop, by an interface towards the world, for a packet of this size; 0: not that way.
static __always_inline __u32 route_outside(struct __sk_buff *skb, const struct icon_settings *set,
                                           __u32 destination, __u16 bytes,
                                           struct icon_target *out) {
  struct bpf_fib_lookup route = {.family = AF_INET, .tot_len = bytes};
  route.ifindex = skb->ingress_ifindex;
  route.ipv4_src = set->public_address;
  route.ipv4_dst = destination;
  const long found = bpf_fib_lookup(skb, &route, sizeof route, 0);
  if (found != BPF_FIB_LKUP_RET_SUCCESS && found != BPF_FIB_LKUP_RET_NO_NEIGH) return 0;
  if (route.family != AF_INET) return 0;  // through an IPv6 gateway
  out->to = route.ifindex;
  out->link = kIconLinkEthernet;
  const struct icon_interface *outside = bpf_map_lookup_elem(&interfaces, &out->to);
  if (!outside || outside->overlay || outside->way) return 0;
  return route.ipv4_dst;
}
