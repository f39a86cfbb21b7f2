// The seam between the host daemon and the migration flows (supervisor/move_*.cc): the daemon
// owns processes, sockets and the journal; a Mover owns the transaction of docs/design.md
// section 4. Owned by supervisor_main.cc, used by the API handlers. Loop thread only.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/address.h"
#include "base/http_server.h"
#include "base/json.h"
#include "base/keys.h"
#include "base/result.h"
#include "base/task.h"
#include "migration/movable/host_traits.h"
#include "wire/envelope.h"

namespace icon::supervisor {

struct Host;
struct IconRecord;
struct Guided;

// What an agent hands in by POST /v1/self/migrations. `icon_id` is certain (whose socket it came
// through); nothing else is verified yet.
struct MoveRequest {
  std::string icon_id;
  wire::Envelope order;  // wire::MoveOrder
  wire::Envelope lease;  // wire::Lease, bought from the destination
  Endpoint api;          // the destination's supervisor
  json::Object evidence;
  // A replica is to be made: the order and the lease are the child's.
  std::optional<wire::Envelope> birth;  // wire::Birth, by the ICON whose socket it came through
  std::optional<KeyPair> child_key;
};

class Mover {
 public:
  virtual ~Mover() = default;
  // Verifies the order, journals it and lets the flow run in the background; returns the migration
  // id. What becomes of it is published as events. Errors: kUnauthenticated, kExpired, kInvalid,
  // kConflict (another move of this ICON runs, or the epoch is not newer), kNotFound.
  virtual Task<Result<std::string>> start(MoveRequest request) = 0;
  // The routes of docs/api.md section 3 below /v1/migrations, /v1/images, /v1/stubs, /v1/tunnels.
  virtual void add_peer_routes(http::Router& router) = 0;
  // After a start of the daemon, before any socket listens: finishes or undoes half-done moves,
  // sets up stubs again.
  virtual Task<void> recover() = 0;
  // Takes a stub down, with its rules and its process. Errors: kNotFound.
  virtual Task<Status> remove_stub(const std::string& icon_id) = 0;
  // New users of an ICON that runs here are led elsewhere (Stubs::guide()).
  virtual Task<Status> guide(const IconRecord& icon, Guided guided) = 0;
  // Whether processes that are not root's can leave this host.
  virtual Task<bool> carries_other_users() = 0;
  // What this host's kernel, processor and CRIU can do. Found out once; some 0.1 s.
  virtual Task<migration::HostTraits> traits() = 0;
  // Called about once a second: stubs whose time is over, reservations nobody used. What takes time
  // goes on in the background, one thing not waiting for the other.
  virtual void expire() = 0;
};

// Implemented by supervisor/move_*.cc. `host` outlives the Mover.
std::unique_ptr<Mover> make_mover(Host& host);

}  // namespace icon::supervisor
