// The fast path of the stub's forwarding: packets of published ports are rewritten and sent on at
// the ingress of the interface they come by, before netfilter and routing see them.
//
// Rewriting keeps no state of a connection. `flows` only remembers which connections bypass
// netfilter and which way their answers go, so that both directions bypass together. Whatever is
// not plainly served here (fragments, options, ICMP, what is held, muted, redirected, unknown)
// passes on to the nftables rules, which are complete without us: TC_ACT_OK at any line is right.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <stddef.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "maps.h"

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

#define AF_INET 2
#define TUNNEL_MARK_BASE 0x49430000
#define FRAGMENT_BITS 0x3fff  // "more fragments" and the offset
#define FRAGMENT_OFFSET 0x1fff
#define IDLE_UDP 112          // two minutes in units of 2^30 ns, as conntrack's for a stream
#define TCP_OPTIONS_MAX 10    // looked at for the segment size
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
  __u8 ends;   // FIN or RST
};

static __always_inline __u32 now(void) { return bpf_ktime_get_coarse_ns() >> 30; }

static __always_inline struct icon_settings *get_settings(void) {
  const __u32 zero = 0;
  return bpf_map_lookup_elem(&settings, &zero);
}

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
  p->syn = p->clamp = p->ends = 0;
  if (p->protocol == IPPROTO_UDP) return 1;
  const struct tcphdr *tcp = (const void *)(ip + 1);
  if (p->protocol != IPPROTO_TCP || (const void *)(tcp + 1) > end) return 0;
  p->syn = tcp->syn && !tcp->ack;
  p->clamp = tcp->syn;
  p->ends = tcp->fin || tcp->rst;
  return 1;
}

// What is on the wire at the next hop: a large packet is cut into segments before.
static __always_inline __u32 wire_bytes(struct __sk_buff *skb, __u32 l2, const struct packet *p) {
  if (skb->gso_size == 0) return p->length;
  if (p->protocol == IPPROTO_UDP) return sizeof(struct iphdr) + sizeof(struct udphdr) + skb->gso_size;
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
  // RFC 1624, equation 3; the TTL is the upper byte of its word.
  __u32 sum = (__u16)~ip->check;
  sum += (__u16)~bpf_htons(0x0100) + 0u;
  sum += (__u16)~(old_address & 0xffff) + (address & 0xffff);
  sum += (__u16)~(old_address >> 16) + (address >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  ip->check = ~sum;
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

static __always_inline void touch(struct icon_flow *flow, const struct packet *p) {
  const __u32 time = now();
  if (flow->seen != time) flow->seen = time;
  if (p->ends) flow->closed = 1;
}

// False: the connection is not one that may bypass netfilter this way.
static __always_inline int admit(struct __sk_buff *skb, const struct icon_flow_key *key,
                                 const struct packet *p, __u16 way, __u16 public_port,
                                 int redirects) {
  const int first = p->syn || p->protocol == IPPROTO_UDP;
  struct icon_flow *flow = bpf_map_lookup_elem(&flows, key);
  if (redirects && p->syn) return 0;
  if (!flow) {
    // Mid-stream from the world: conntrack knows it, or nobody. Mid-stream from a tunnel: it was
    // opened before the ICON came here, and its answers go back the same way.
    if (!first && way == kIconWayOutside) return 0;
    const struct icon_flow fresh = {.seen = now(), .way = way, .public_port = public_port};
    return bpf_map_update_elem(&flows, key, &fresh, BPF_ANY) == 0;
  }
  if (flow->way != way || flow->public_port != public_port) {
    // The stub was pointed straight at us: the same connection by another tunnel.
    const int both_tunnels = flow->way != kIconWayOutside && way != kIconWayOutside;
    const int over = p->protocol == IPPROTO_TCP ? flow->closed && p->syn
                                                : now() - flow->seen > IDLE_UDP;
    if (!both_tunnels && !over) {
      if (first) skb->mark = kIconMarkClash;
      return 0;
    }
    flow->way = way;
    flow->public_port = public_port;
  }
  if (p->syn && flow->closed) flow->closed = 0;
  touch(flow, p);
  return 1;
}

// From a client to an ICON, here or through a tunnel.
static __always_inline int to_icon(struct __sk_buff *skb, __u32 l2, const struct packet *p,
                                   __u16 way, __u32 overlay, __u16 port) {
  if ((p->fragment & FRAGMENT_BITS) || p->ttl <= 1) return TC_ACT_OK;
  const struct icon_settings *set = get_settings();
  const struct icon_overlay *at = bpf_map_lookup_elem(&overlays, &overlay);
  if (!set || !at) return TC_ACT_OK;
  const struct icon_target *target = way == kIconWayOutside ? &at->from_outside : &at->from_tunnel;
  if (target->to == 0 || wire_bytes(skb, l2, p) > set->mtu) return TC_ACT_OK;
  const struct icon_flow_key key = {.client = p->source,
                                    .overlay = overlay,
                                    .client_port = p->source_port,
                                    .port = port,
                                    .protocol = p->protocol};
  const __u16 public_port = way == kIconWayOutside ? p->destination_port : 0;
  if (p->clamp && !clamp_mss(skb, l2, set->mss_max)) return TC_ACT_OK;
  if (!admit(skb, &key, p, way, public_port, way == kIconWayOutside && at->redirects_tcp))
    return TC_ACT_OK;
  if (!rewrite(skb, l2, p, 0, overlay, port)) return TC_ACT_SHOT;
  return send(skb, l2, target, overlay);
}

// Netfilter gets the packet, and what we know of its connection.
static __always_inline int hand_over(struct __sk_buff *skb, const struct icon_flow *flow) {
  skb->mark = flow->way == kIconWayOutside ? kIconMarkHome : TUNNEL_MARK_BASE + flow->way;
  return TC_ACT_OK;
}

// An answer to a client that dialled this host.
static __always_inline int to_client(struct __sk_buff *skb, __u32 l2, const struct packet *p,
                                     const struct icon_settings *set, struct icon_flow *flow) {
  struct bpf_fib_lookup route = {.family = AF_INET, .l4_protocol = p->protocol};
  route.ifindex = skb->ingress_ifindex;
  route.ipv4_src = set->public_address;
  route.ipv4_dst = p->destination;
  route.tot_len = wire_bytes(skb, l2, p);
  const long found = bpf_fib_lookup(skb, &route, sizeof route, 0);
  if (found != BPF_FIB_LKUP_RET_SUCCESS && found != BPF_FIB_LKUP_RET_NO_NEIGH)
    return hand_over(skb, flow);
  const __u32 out = route.ifindex;
  const struct icon_interface *outside = bpf_map_lookup_elem(&interfaces, &out);
  if (!outside || outside->overlay || outside->way) return hand_over(skb, flow);
  if (p->clamp && !clamp_mss(skb, l2, set->mss_max)) return hand_over(skb, flow);
  touch(flow, p);
  const __u16 port = flow->public_port;
  if (!rewrite(skb, l2, p, 1, set->public_address, port)) return TC_ACT_SHOT;
  const struct icon_target target = {.to = out, .link = kIconLinkEthernet};
  return send(skb, l2, &target, route.ipv4_dst);
}

// From an ICON to a client. `overlay` has been checked to be the sender's.
static __always_inline int from_overlay(struct __sk_buff *skb, __u32 l2, const struct packet *p) {
  const struct icon_flow_key key = {.client = p->destination,
                                    .overlay = p->source,
                                    .client_port = p->destination_port,
                                    .port = p->source_port,
                                    .protocol = p->protocol};
  struct icon_flow *flow = bpf_map_lookup_elem(&flows, &key);
  const struct icon_settings *set = get_settings();
  if (!flow || !set || p->syn) return TC_ACT_OK;
  if (flow->way == kIconWayOutside) {
    // Published no longer, or by another ICON now: an old entry.
    const struct icon_port_key at = {.port = flow->public_port, .protocol = p->protocol};
    const struct icon_port *port = bpf_map_lookup_elem(&ports, &at);
    if (!port || port->overlay != p->source || port->port != p->source_port) return TC_ACT_OK;
    if ((p->fragment & FRAGMENT_BITS) || p->ttl <= 1) return hand_over(skb, flow);
    return to_client(skb, l2, p, set, flow);
  }
  const __u32 way = flow->way;
  const struct icon_delivery_key peer = {.way = way, .overlay = p->source};
  const __u32 *allowed = bpf_map_lookup_elem(&deliveries, &peer);
  const struct icon_target *tunnel = bpf_map_lookup_elem(&tunnels, &way);
  if (!allowed || !(*allowed & kIconDeliverTo) || !tunnel || tunnel->to == 0) return TC_ACT_OK;
  if ((p->fragment & FRAGMENT_BITS) || p->ttl <= 1 || wire_bytes(skb, l2, p) > set->mtu ||
      (p->clamp && !clamp_mss(skb, l2, set->mss_max)))
    return hand_over(skb, flow);
  touch(flow, p);
  if (!rewrite(skb, l2, p, 1, p->source, p->source_port)) return TC_ACT_SHOT;
  return send(skb, l2, tunnel, p->destination);
}

// The stack drops what claims to come from such an address; so it decides.
static __always_inline int is_martian(__u32 address, __u32 own) {
  const __u32 first = bpf_ntohl(address) >> 24;
  return first == 0 || first == 127 || first >= 224 || address == own;
}

SEC("tc")
int from_outside(struct __sk_buff *skb) {
  struct packet p;
  const struct icon_settings *set = get_settings();
  if (!set || !parse(skb, ETH_HLEN, &p) || p.destination != set->public_address) return TC_ACT_OK;
  const struct icon_port_key key = {.port = p.destination_port, .protocol = p.protocol};
  const struct icon_port *port = bpf_map_lookup_elem(&ports, &key);
  if (!port || is_martian(p.source, set->public_address)) return TC_ACT_OK;
  return to_icon(skb, ETH_HLEN, &p, kIconWayOutside, port->overlay, port->port);
}

SEC("tc")
int from_icon(struct __sk_buff *skb) {
  struct packet p;
  const __u32 index = skb->ifindex;
  const struct icon_interface *from = bpf_map_lookup_elem(&interfaces, &index);
  if (!from || !parse(skb, ETH_HLEN, &p) || p.source != from->overlay) return TC_ACT_OK;
  return from_overlay(skb, ETH_HLEN, &p);
}

// A peer delivers only to overlay addresses whose stub it holds, and from those that moved there.
static __always_inline int from_peer(struct __sk_buff *skb, __u32 l2) {
  struct packet p;
  const __u32 index = skb->ifindex;
  const struct icon_interface *from = bpf_map_lookup_elem(&interfaces, &index);
  if (!from || !parse(skb, l2, &p)) return TC_ACT_OK;
  struct icon_delivery_key key = {.way = from->way, .overlay = p.destination};
  const __u32 *allowed = bpf_map_lookup_elem(&deliveries, &key);
  if (allowed && (*allowed & kIconDeliverTo))
    return to_icon(skb, l2, &p, from->way, p.destination, p.destination_port);
  key.overlay = p.source;
  allowed = bpf_map_lookup_elem(&deliveries, &key);
  if (allowed && (*allowed & kIconDeliverFrom)) return from_overlay(skb, l2, &p);
  return TC_ACT_OK;
}

SEC("tc")
int from_tunnel(struct __sk_buff *skb) { return from_peer(skb, 0); }

SEC("tc")
int from_ethernet_tunnel(struct __sk_buff *skb) { return from_peer(skb, ETH_HLEN); }

char program_license[] SEC("license") = "Dual MIT/GPL";
