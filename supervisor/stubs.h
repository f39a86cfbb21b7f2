// What ICONs that moved on leave on this host: journal row, forwarding rules, and for `redirect`
// the unprivileged stub process with its routes. Owned by the Mover. Loop thread only.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/task.h"
#include "stub/stub_process.h"
#include "supervisor/journal.h"
#include "supervisor/net/network.h"
#include "wire/documents.h"

namespace icon::supervisor {

struct Host;

// Whom an ICON that runs here wants to be served elsewhere.
struct Guided {
  struct Group {
    Address to;  // dialled there, at the same ports
    std::vector<Prefix> networks;
  };
  std::vector<Group> groups;
  std::optional<Address> everybody;  // instead
  std::int64_t remember_s = 0;       // users may remember it so long
};
inline constexpr std::size_t kGuidedNetworksMax = 1024;      // of one ICON
inline constexpr std::size_t kGuidedHostNetworksMax = 2048;  // of all of a host, times their ports

class Stubs {
 public:
  explicit Stubs(Host& host) : host_(host) {}

  // Starts or finds the redirector when `mode` needs it: before the gap. What was led to one that
  // has died is led to the new one. Errors: kNotFound, kIo.
  Task<Status> prepare(const std::string& mode);
  // As long as somebody has it the redirector is not stopped for want of routes: a move that leaves
  // in that mode has its stub only when it is over.
  using Use = std::shared_ptr<const bool>;
  Use use() const { return use_; }
  // The network code's view of a stub. Errors: kInvalid, kUnavailable (redirect without process).
  Result<net::StubTarget> target(const StubRecord& stub) const;
  // Gives the redirector all routes of the journal. Nothing to do without a redirecting stub; the
  // process ends when the last one is gone.
  Task<Status> publish_routes();

  // The ICON moved on from the host this stub points at. Checks both documents, sets up a tunnel to
  // the new host and points there. Errors: kUnauthenticated, kConflict (not newer), kNotFound, kIo.
  struct Moved {
    wire::Envelope order;
    wire::Envelope commit;
    Endpoint api;
    Address public_address;
  };
  Task<Status> repoint(const std::string& icon_id, Moved moved);
  // The ICON has bought more time where this stub points: `renewed` is that host's signed word
  // (wire::RenewedLease). Errors: kUnauthenticated, kNotFound.
  Task<Status> extend(const std::string& icon_id, const wire::Envelope& renewed);
  // After a restart: tunnels, rules and the process again.
  Task<void> recover();
  // Rules, journal row, tunnel if nobody else needs it. Errors: kNotFound.
  Task<Status> remove(const std::string& icon_id);
  // Stubs whose time is over; and a redirector for those that need one, should it have died.
  Task<void> expire();

  // Replaces what the ICON wanted before. Not kept over a restart: its agent says it again.
  // Errors: kNotFound, kInvalid, kLimit, kIo.
  Task<Status> guide(const IconRecord& icon, Guided guided);

  // A tunnel to `peer` by a call of POST /v1/tunnels there. Errors: the peer's, kIo.
  Task<Status> ask_for_tunnel(const PublicKey& peer, const Endpoint& api,
                              const std::string& icon_id, const wire::Envelope& order);

 private:
  stub::StubOptions process_options() const;
  void add_guided_routes(std::vector<stub::Route>& routes);
  std::size_t guided_routes(const std::string& but) const;
  bool is_running() const { return process_ && process_->running(); }
  Result<std::vector<StubRecord>> redirecting() const;
  Task<void> keep_redirector();
  void lead_to_it();
  Host& host_;
  std::optional<stub::StubProcess> process_;
  const Use use_ = std::make_shared<const bool>(true);
  SteadyTime next_start_{};  // of one that has died
  struct GuidedIcon {
    std::vector<std::uint16_t> ports;
    Guided guided;
  };
  std::map<std::string, GuidedIcon> guided_;
};

}  // namespace icon::supervisor
