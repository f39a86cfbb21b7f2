// Standbys that this host keeps for ICONs of its siblings: room that is set aside, an image, a
// writable layer and a network that are prepared, so that a move finds them here. A standby
// entitles nobody to run: the move brings its own order and lease. Owned by Continuity. Loop thread
// only.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "base/http_server.h"
#include "base/task.h"
#include "supervisor/continuity/contracts.h"
#include "supervisor/journal.h"

namespace icon::supervisor {

struct Host;

// What a move says when it comes: only the very same standby serves it.
struct StandbyClaim {
  std::string standby_id;
  std::string icon;
  PublicKey from;
  std::string digest;
  const ContainerSpec* spec = nullptr;
};

class GivenStandbys {
 public:
  // `is_leaving`: whether this host still has to do with an ICON that is moving away from it.
  GivenStandbys(Host& host, Contracts& contracts,
                std::function<bool(const std::string& icon)> is_leaving);
  ~GivenStandbys();

  // POST /v1/standbys, PUT and DELETE below it.
  void add_routes(http::Router& router);
  // The move's from now on: directories and network are its own to undo. False: there is none that
  // fits, and what there was of that ICON is gone. The ICON's row says already that it arrives.
  Task<bool> take(StandbyClaim claim);
  // The ICON has moved on, or starts here: what is kept for it goes. Nothing to end: fine.
  Task<void> end(std::string icon, std::string why);
  // About once a second.
  Task<void> expire();
  // What an earlier supervisor kept: its siblings will ask again.
  Task<void> recover();
  // Room that is kept, less that for `except`.
  wire::Resources set_aside(std::string_view except) const;
  std::set<std::string> icons() const;
  json::Array describe() const;

 private:
  struct Standby;
  using StandbyPtr = std::shared_ptr<Standby>;

  Task<Result<json::Object>> open(const http::Request& request);
  Result<StandbyPtr> check(const http::Request& request, const json::Object& body) const;
  Status check_place(const Standby& standby) const;
  Task<Result<json::Object>> prepare(Standby& standby, const json::Object& body);
  Task<Status> receive(StandbyPtr standby, std::string part, http::BodyReader& body);
  Task<Result<std::uint64_t>> receive_layer(StandbyPtr standby, http::BodyReader& body,
                                            std::uint64_t bytes_max);
  std::int64_t staged_bytes_of(const PublicKey& holder) const;
  Result<StandbyPtr> find(const http::Request& request) const;
  Task<Result<wire::Envelope>> close(StandbyPtr standby, std::string end);
  Result<wire::Envelope> receipt(const Standby& standby, std::string end) const;
  Task<void> remove(std::string icon);
  // What is being removed is gone when it returns.
  Task<void> until_removed(std::string icon);
  Status note_all() const;

  Host& host_;
  Contracts& contracts_;
  std::function<bool(const std::string&)> is_leaving_;
  std::map<std::string, StandbyPtr> standbys_;  // by ICON: one each
  // By ICON, while what was kept for it is being removed; cancelled when that is done.
  std::map<std::string, std::shared_ptr<boost::asio::steady_timer>> removals_;
  bool noted_ = true;
};

}  // namespace icon::supervisor
