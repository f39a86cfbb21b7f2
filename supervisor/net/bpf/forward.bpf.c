// The fast path of the stub's forwarding: packets of published ports are rewritten and sent on at
// the ingress of the interface they come by, before netfilter and routing see them.
//
// Rewriting keeps no state of a connection. `flows` only remembers which connections bypass
// netfilter and which way their answers go, so that both directions bypass together. Whatever is
// not plainly served here (fragments, options, pings, what is held, muted, redirected, unknown)
// passes on to the nftables rules, which are complete without us: TC_ACT_OK at any line is right.
#include "supervisor/net/bpf/icmp.h"
#include "supervisor/net/bpf/packet.h"

static __always_inline __u32 now(void) { return bpf_ktime_get_coarse_ns() >> 30; }

// `side`: kIconEndByClient or kIconEndByIcon, whoever has sent the packet.
static __always_inline void touch(struct icon_flow *flow, const struct packet *p, __u32 side) {
  const __u32 time = now();
  if (flow->seen != time) flow->seen = time;
  if (p->fin) flow->closed |= side;
  if (p->rst) flow->closed |= kIconEndByReset;
}

// Whether the flow that stands under the addresses and ports of this packet is an earlier one. By a
// tunnel come, mid-stream, connections that the ICON has brought along: it has no two of them.
static __always_inline int is_over(const struct icon_flow *flow, const struct packet *p, __u16 way) {
  if (p->protocol != IPPROTO_TCP) return now() - flow->seen > IDLE_UDP;
  if (p->syn) return flow->closed != 0;
  return way != kIconWayOutside && icon_flow_has_ended(flow);
}

enum { kNotAdmitted = 0, kKnown, kBegun };
// Whether the connection may bypass netfilter this way, and whether it begins with this packet.
static __always_inline int admit(struct __sk_buff *skb, const struct icon_flow_key *key,
                                 const struct packet *p, __u16 way, __u16 public_port,
                                 int redirects) {
  const int first = p->syn || p->protocol == IPPROTO_UDP;
  int begins = 0;
  struct icon_flow *flow = bpf_map_lookup_elem(&flows, key);
  if (redirects && p->syn) return kNotAdmitted;
  if (!flow) {
    // Mid-stream from the world: conntrack knows it, or nobody. Mid-stream from a tunnel: it was
    // opened before the ICON came here, and its answers go back the same way.
    if (!first && way == kIconWayOutside) return kNotAdmitted;
    struct icon_flow fresh = {.seen = now(), .way = way, .public_port = public_port};
    touch(&fresh, p, kIconEndByClient);
    if (bpf_map_update_elem(&flows, key, &fresh, BPF_ANY) != 0) return kNotAdmitted;
    return first ? kBegun : kKnown;
  }
  if (flow->way != way || flow->public_port != public_port) {
    // The stub was pointed straight at us: the same connection by another tunnel.
    const int both_tunnels = flow->way != kIconWayOutside && way != kIconWayOutside;
    const int over = is_over(flow, p, way);
    if (!both_tunnels && !over) {
      if (first) skb->mark = kIconMarkClash;
      return kNotAdmitted;
    }
    begins = over && first;
    if (over) flow->closed = 0;
    flow->way = way;
    flow->public_port = public_port;
  }
  if (p->syn && flow->closed) {
    begins = 1;
    flow->closed = 0;
  }
  touch(flow, p, kIconEndByClient);
  return begins ? kBegun : kKnown;
}

// While an ICON is held it is in no map of where to send: the rules see its packets, and connection
// tracking takes a connection up by any packet but its last, which this host would answer itself, by
// a reset. So that one is translated here; the route leads it into the queue, behind the others.
static __always_inline int end_while_held(struct __sk_buff *skb, const struct packet *p,
                                          const struct icon_flow_key *key) {
  if (p->protocol != IPPROTO_TCP || p->syn || !(p->fin || p->rst)) return TC_ACT_OK;
  struct icon_flow *flow = bpf_map_lookup_elem(&flows, key);
  if (!flow || flow->way != kIconWayOutside || flow->public_port != p->destination_port)
    return TC_ACT_OK;
  touch(flow, p, kIconEndByClient);
  if (!rewrite(skb, ETH_HLEN, p, 0, key->overlay, key->port)) return TC_ACT_SHOT;
  skb->mark = kIconMarkHome;
  return TC_ACT_OK;
}

// From a client to an ICON, here or through a tunnel.
static __always_inline int to_icon(struct __sk_buff *skb, __u32 l2, const struct packet *p,
                                   __u16 way, __u32 overlay, __u16 port) {
  if ((p->fragment & FRAGMENT_BITS) || p->ttl <= 1) return TC_ACT_OK;
  const struct icon_settings *set = get_settings();
  const struct icon_overlay *at = bpf_map_lookup_elem(&overlays, &overlay);
  const struct icon_flow_key key = {.client = p->source,
                                    .overlay = overlay,
                                    .client_port = p->source_port,
                                    .port = port,
                                    .protocol = p->protocol};
  if (set && !at && way == kIconWayOutside) return end_while_held(skb, p, &key);
  if (!set || !at) return TC_ACT_OK;
  const struct icon_target *target = way == kIconWayOutside ? &at->from_outside : &at->from_tunnel;
  if (target->to == 0 || wire_bytes(skb, l2, p) > set->mtu) return TC_ACT_OK;
  const __u16 public_port = way == kIconWayOutside ? p->destination_port : 0;
  if (p->clamp && !clamp_mss(skb, l2, set->mss_max)) return TC_ACT_OK;
  const int admitted =
      admit(skb, &key, p, way, public_port, way == kIconWayOutside && at->redirects_tcp);
  if (admitted == kNotAdmitted) return TC_ACT_OK;
  if (!rewrite(skb, l2, p, 0, overlay, port)) return TC_ACT_SHOT;
  if (target->link != kIconLinkVeth) count_to(overlay, p->length, admitted == kBegun);
  return send(skb, l2, target, overlay);
}

// Netfilter gets the packet, and what we know of its connection.
static __always_inline int hand_over(struct __sk_buff *skb, const struct icon_flow *flow) {
  skb->mark = flow->way == kIconWayOutside ? kIconMarkHome : TUNNEL_MARK_BASE + flow->way;
  return TC_ACT_OK;
}

// An answer to a client that dialled this host.
static __always_inline int to_client(struct __sk_buff *skb, __u32 l2, const struct packet *p,
                                     const struct icon_settings *set, struct icon_flow *flow,
                                     int by_stub) {
  struct icon_target out;
  const __u32 hop = route_outside(skb, set, p->destination, wire_bytes(skb, l2, p), &out);
  if (!hop || (p->clamp && !clamp_mss(skb, l2, set->mss_max))) return hand_over(skb, flow);
  touch(flow, p, kIconEndByIcon);
  const __u16 port = flow->public_port;
  if (!rewrite(skb, l2, p, 1, set->public_address, port)) return TC_ACT_SHOT;
  if (by_stub) count_from(p->source, p->length);
  return send(skb, l2, &out, hop);
}

// From an ICON to a client. Its address has been checked to be the sender's. `by_stub`: by the tunnel
// from where it is now.
static __always_inline int from_overlay(struct __sk_buff *skb, __u32 l2, const struct packet *p,
                                        int by_stub) {
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
    return to_client(skb, l2, p, set, flow, by_stub);
  }
  const __u32 way = flow->way;
  const struct icon_delivery_key peer = {.way = way, .overlay = p->source};
  const __u32 *allowed = bpf_map_lookup_elem(&deliveries, &peer);
  const struct icon_target *tunnel = bpf_map_lookup_elem(&tunnels, &way);
  if (!allowed || !(*allowed & kIconDeliverTo) || !tunnel || tunnel->to == 0) return TC_ACT_OK;
  if ((p->fragment & FRAGMENT_BITS) || p->ttl <= 1 || wire_bytes(skb, l2, p) > set->mtu ||
      (p->clamp && !clamp_mss(skb, l2, set->mss_max)))
    return hand_over(skb, flow);
  touch(flow, p, kIconEndByIcon);
  if (!rewrite(skb, l2, p, 1, p->source, p->source_port)) return TC_ACT_SHOT;
  if (by_stub) count_from(p->source, p->length);
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
  if (!set) return TC_ACT_OK;
  if (!parse(skb, ETH_HLEN, &p)) return icmp_to_icon(skb, set);
  if (p.destination != set->public_address) return TC_ACT_OK;
  const struct icon_port_key key = {.port = p.destination_port, .protocol = p.protocol};
  const struct icon_port *port = bpf_map_lookup_elem(&ports, &key);
  if (!port || is_martian(p.source, set->public_address)) return TC_ACT_OK;
  return to_icon(skb, ETH_HLEN, &p, kIconWayOutside, port->overlay, port->port);
}

// Leaves an ICON's packet to the rules, with what we know of its connection.
static __always_inline int tell(struct __sk_buff *skb, const struct packet *p) {
  const struct icon_flow_key key = {.client = p->destination,
                                    .overlay = p->source,
                                    .client_port = p->destination_port,
                                    .port = p->source_port,
                                    .protocol = p->protocol};
  const struct icon_flow *flow = bpf_map_lookup_elem(&flows, &key);
  return flow && !p->syn ? hand_over(skb, flow) : TC_ACT_OK;
}

// What waited in a hold queue comes out without the mark it went in with.
SEC("tc")
int from_queue(struct __sk_buff *skb) {
  struct packet p;
  return parse(skb, 0, &p) ? tell(skb, &p) : TC_ACT_OK;
}

SEC("tc")
int from_icon(struct __sk_buff *skb) {
  struct packet p;
  const __u32 index = skb->ifindex;
  const struct icon_interface *from = bpf_map_lookup_elem(&interfaces, &index);
  if (!from) return TC_ACT_OK;
  if (!parse(skb, ETH_HLEN, &p)) {
    struct icmp_error e;
    if (from->closed || !parse_icmp(skb, ETH_HLEN, &e)) return TC_ACT_OK;
    return icmp_from_overlay(skb, ETH_HLEN, from->overlay, &e);
  }
  if (p.source != from->overlay) return TC_ACT_OK;
  if (from->closed) return tell(skb, &p);
  return from_overlay(skb, ETH_HLEN, &p, 0);
}

// A peer delivers only to overlay addresses whose stub it holds, and from those that moved there.
static __always_inline int from_peer(struct __sk_buff *skb, __u32 l2) {
  struct packet p;
  const __u32 index = skb->ifindex;
  const struct icon_interface *from = bpf_map_lookup_elem(&interfaces, &index);
  if (!from) return TC_ACT_OK;
  if (!parse(skb, l2, &p)) {
    struct icmp_error e;
    if (!parse_icmp(skb, l2, &e)) return TC_ACT_OK;
    const struct icon_delivery_key of = {.way = from->way, .overlay = e.source};
    const __u32 *may = bpf_map_lookup_elem(&deliveries, &of);
    if (!may || !(*may & kIconDeliverFrom)) return TC_ACT_OK;
    return icmp_from_overlay(skb, l2, e.source, &e);
  }
  struct icon_delivery_key key = {.way = from->way, .overlay = p.destination};
  const __u32 *allowed = bpf_map_lookup_elem(&deliveries, &key);
  if (allowed && (*allowed & kIconDeliverTo))
    return to_icon(skb, l2, &p, from->way, p.destination, p.destination_port);
  key.overlay = p.source;
  allowed = bpf_map_lookup_elem(&deliveries, &key);
  if (allowed && (*allowed & kIconDeliverFrom)) return from_overlay(skb, l2, &p, 1);
  return TC_ACT_OK;
}

SEC("tc")
int from_tunnel(struct __sk_buff *skb) { return from_peer(skb, 0); }

SEC("tc")
int from_ethernet_tunnel(struct __sk_buff *skb) { return from_peer(skb, ETH_HLEN); }

char program_license[] SEC("license") = "Dual MIT/GPL";
