// One move as its destination sees it, from RESERVE to its end. Private to move_destination*.cc.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/keys.h"
#include "supervisor/docker/docker_containers.h"
#include "supervisor/host.h"
#include "supervisor/move_destination.h"
#include "wire/birth.h"

namespace icon::supervisor {

struct DestinationMoves::Move {
  Move(Host& host, MigrationRecord row)
      : record(host, std::move(row)), progress(host.loop, SteadyTime::max()) {}

  MoveRecord record;
  migration::DestinationTransaction transaction;
  wire::MoveOrder order;
  wire::Lease lease;
  IconRecord icon;
  std::optional<wire::Birth> birth;  // of a replica
  wire::Envelope birth_envelope;
  std::optional<KeyPair> child_key;  // nowhere else until its file is written

  bool is_clone() const { return birth && birth->mode == wire::Birth::Mode::kClone; }
  bool is_fresh() const { return birth && birth->mode == wire::Birth::Mode::kFresh; }

  // What the copy may use here: what it asks for, or, where it asks for none, what its lease has.
  wire::Resources allowed;
  json::Array stubs;
  std::string digest;
  MemoryDirectory memory;
  migration::ArchiveReport received;
  // Memory that travels apart; received_memory once all of it is here.
  std::shared_ptr<migration::PageDaemon> pages;
  std::string received_memory;
  bool has_standby = false;  // directories and most files were here before
  bool is_streaming = false;
  std::uint32_t mark = 0;              // the last one that came
  boost::asio::steady_timer progress;  // cancelled when there is a new mark, and at the end
  std::unique_ptr<DockerShell> shell;  // where Docker shall own the copy
  std::unique_ptr<migration::PreparedRestore> prepared;
  std::unique_ptr<migration::HeldRestore> held;
  SteadyTime last_heard{};
  std::uint64_t staged_bytes = 0;  // image and layers, however often they come
  bool busy = false;               // a request is being worked on
  std::string given_up;            // meanwhile, and why: the work ends, then the move
};

}  // namespace icon::supervisor
