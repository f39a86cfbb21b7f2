// A tunnel without its device and socket: many peers, their handshakes, sessions and timers
// (WireGuard, https://www.wireguard.com/papers/wireguard.pdf). Pure: time is an argument, what is
// to be sent is a result.
//
// Threads. Two data threads and any number that configure:
//   * the sending thread (interface to network) calls seal();
//   * the receiving thread (network to interface) calls receive(), tick() and deadline();
//   * everything under "Configuration" and "State" may be called by any thread.
// One lock guards peers, sessions and timers. seal() takes it once per call, receive() once per run
// of transport messages of one session. Encryption, and the curve work of handshakes, happen
// outside of it. One thread may play both roles.
//
// What must be sent besides the caller's own packets is put in an Outbox (one per thread); the
// caller sends its datagrams after each call, and passes `wake` on (see there).
#pragma once

#include <mutex>
#include <set>
#include <string>
#include <unordered_map>

#include "supervisor/tunnel/wg/cookie.h"
#include "supervisor/tunnel/wg/counters.h"
#include "supervisor/tunnel/wg/engine_types.h"
#include "supervisor/tunnel/wg/keypair.h"
#include "supervisor/tunnel/wg/rate_limiter.h"

namespace icon::tunnel::wg {

class Engine {
 public:
  // Errors: kUnavailable (a forced AEAD backend that does not work here).
  static Result<std::unique_ptr<Engine>> create(EngineOptions options);
  ~Engine();

  // --- Sending thread.
  // Packets for one inner destination, sealed in place. No allocation while there is a session.
  SealResult seal(const Address& destination, std::span<Segment> segments, Now now, Outbox& out);

  // --- Receiving thread.
  // Datagrams of one source, opened in place. Afterwards `packet` and `peer` of each say what to
  // deliver. No allocation for transport messages.
  void receive(std::span<Received> datagrams, const Endpoint& source, Now now, Outbox& out);
  // Runs the timers that are due. Late calls are harmless.
  void tick(Now now, Outbox& out);
  // When tick() is due next; SteadyTime::max(): nothing waits.
  SteadyTime deadline();
  bool is_under_load(SteadyTime now) const { return loaded_until_ && now < *loaded_until_; }

  // --- Configuration. What a call wants sent is sent by the next tick(): see needs_tick().
  // A zero key: none; the tunnel is then silent. Ends all sessions. A peer with our own public key
  // is removed.
  void set_private_key(const Secret& private_key);
  Secret private_key() const;
  Key public_key() const;  // zero without a private key
  void set_mtu(std::size_t mtu) { mtu_.store(mtu, std::memory_order_relaxed); }
  // Fine when it exists. Errors: kLimit, kInvalid (our own key).
  Status add_peer(const Key& public_key);
  bool has_peer(const Key& public_key) const;
  bool remove_peer(const Key& public_key);
  void remove_all_peers();
  // Errors of all: kNotFound (no such peer).
  Status set_preshared_key(const Key& public_key, const Secret& preshared_key);
  Status set_endpoint(const Key& public_key, const Endpoint& endpoint);
  // Zero: off; at most 65,535. The first goes out at once.
  Status set_persistent_keepalive(const Key& public_key, std::chrono::seconds interval, Now now);
  // Errors: kNotFound, kLimit.
  Status add_allowed_ip(const Key& public_key, const Prefix& prefix);
  Status remove_allowed_ip(const Key& public_key, const Prefix& prefix);
  Status clear_allowed_ips(const Key& public_key);
  // Begins a handshake (by the next tick) unless there is a session.
  Status connect(const Key& public_key, Now now);
  // How much of this peer's traffic is taken.
  Status set_receive_limit(const Key& public_key, ReceiveLimit limit);
  // Begins a handshake at once, whatever the session's age. Receiving thread.
  Status rekey(const Key& public_key, Now now, Outbox& out);
  // True once after a configuration call that moved deadline() forward: wake the receiving thread.
  bool needs_tick();

  // --- State. Any thread.
  std::vector<PeerState> peers() const;
  const DropCounters& drops() const { return drops_; }
  std::string_view aead_name() const { return sending_aead_->name(); }
  std::size_t staged_bytes() const;

 private:
  struct IndexEntry {
    PeerPtr peer;
    KeypairPtr keypair;  // null while a handshake of ours is under way
  };
  // The session of the last datagram; good while generation_ is the same.
  struct Cached {
    std::uint64_t generation = 0;
    std::uint32_t index = 0;
    IndexEntry session;
  };

  explicit Engine(EngineOptions options);
  std::shared_ptr<const Identity> identity() const;

  // engine_receive.cc; the receiving thread.
  void receive_run(std::span<Received> run, const Endpoint& source, Now now, Outbox& out);
  void account(const IndexEntry& session, std::span<Received> run, std::span<const Opened> opened,
               const Endpoint& source, Now now, Outbox& out);
  const IndexEntry* find_session(std::uint32_t index);

  // engine_handshake.cc; the receiving thread, except begin_initiations().
  void receive_handshake(Bytes message, const Endpoint& source, Now now, Outbox& out);
  bool admit(Bytes message, const Endpoint& source, Now now, Outbox& out);
  bool take_load_token(SteadyTime now);
  void receive_initiation(const InitiationMessage& message, const Endpoint& source, Now now,
                          Outbox& out);
  void receive_response(const ResponseMessage& message, const Endpoint& source, Now now,
                        Outbox& out);
  void receive_cookie_reply(const CookieReplyMessage& message, Now now);
  void begin_initiations(Now now, Outbox& out);
  void begin_initiation(const PeerPtr& peer, Now now, Outbox& out);

  // The rest is under mutex_.
  PeerPtr find_peer(const Key& public_key) const;
  Status insert_peer(Remote remote);
  void drop_peer(PeerPtr peer);
  std::uint32_t allocate_index(IndexEntry entry);
  void release_index(std::uint32_t index);
  void release_keypair(KeypairPtr& keypair);
  void release_sessions(Peer& peer);
  void add_keypair(Peer& peer, KeypairPtr keypair);
  void want_initiation(const PeerPtr& peer, bool is_retry, Now now, Outbox& out);
  void keep_key_fresh(const PeerPtr& peer, Now now, Outbox& out);
  void stage(const PeerPtr& peer, std::span<const Segment> segments);
  void abandon_staged(Peer& peer);
  void send_staged(Peer& peer, Now now, Outbox& out);
  void send_keepalive(const PeerPtr& peer, Now now, Outbox& out);
  void confirm_next(Peer& peer, Now now, Outbox& out);
  void ask_at_last_minute(const PeerPtr& peer, Now now, Outbox& out);
  void deliver(PeerId peer, std::span<Received> run, std::span<const Opened> opened);
  void give_up(Peer& peer, Now now);
  void run_timers(const PeerPtr& peer, Now now, Outbox& out);
  void reschedule(Peer& peer, Outbox* out);

  const EngineOptions options_;
  std::atomic<std::size_t> mtu_;
  std::unique_ptr<Aead> sending_aead_;
  std::unique_ptr<Aead> receiving_aead_;
  DropCounters drops_;

  mutable std::mutex mutex_;
  std::shared_ptr<const Identity> identity_;  // null: no key
  std::unordered_map<Key, PeerPtr, KeyedHash> peers_by_key_;
  std::vector<PeerPtr> peers_by_id_;
  std::vector<PeerId> free_ids_;
  std::unordered_map<std::uint32_t, IndexEntry> indices_;
  AllowedIps allowed_ips_;
  std::set<std::pair<SteadyTime, PeerId>> schedule_;  // at most one entry per peer
  SteadyTime deadline_told_ = SteadyTime::max();
  bool needs_tick_ = false;
  std::size_t staged_bytes_ = 0;
  // Grows whenever an index or a session goes.
  std::atomic<std::uint64_t> generation_{1};

  // The receiving thread's own.
  Cached cached_;
  std::shared_ptr<const Identity> checker_identity_;
  std::unique_ptr<CookieChecker> checker_;
  RateLimiter limiter_;
  std::chrono::nanoseconds load_tokens_{};
  SteadyTime load_updated_;
  std::optional<SteadyTime> loaded_until_;
};

}  // namespace icon::tunnel::wg
