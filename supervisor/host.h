// What one host's daemon consists of. Built once by supervisor_main.cc (or a test), handed by
// reference to the API handlers and the migration flows. One loop, one thread.
#pragma once

#include <memory>
#include <string>

#include "base/clock.h"
#include "base/keys.h"
#include "base/task.h"
#include "budget/ledger/diary.h"
#include "supervisor/asks.h"
#include "supervisor/config.h"
#include "supervisor/container.h"
#include "supervisor/event_hub.h"
#include "supervisor/icons.h"
#include "supervisor/journal.h"
#include "supervisor/market.h"
#include "supervisor/mover.h"
#include "supervisor/net/network.h"
#include "supervisor/peer_client.h"
#include "supervisor/pings.h"
#include "supervisor/sales.h"
#include "supervisor/tunnel_uses.h"

namespace icon::supervisor {

class Continuity;

// Members are destroyed from the bottom up: what uses comes after what is used.
struct Host {
  Config config;
  KeyPair key;
  std::string id;  // of `key`
  Clock& clock;
  IoContext& loop;
  UtcMillis started_ms = 0;
  std::unique_ptr<Journal> journal;
  std::unique_ptr<budget::ledger::Diary> diary;  // this host's own ledger
  json::Object host_join;                        // the document by which it began
  std::unique_ptr<Containers> containers;
  std::unique_ptr<net::Network> network;
  std::unique_ptr<Market> market;
  std::unique_ptr<Sales> sales;
  std::unique_ptr<Asks> asks;
  std::unique_ptr<Pings> pings;
  std::unique_ptr<PeerClient> peers;
  TunnelUses tunnel_uses;
  EventHub events;
  std::unique_ptr<Icons> icons;
  std::unique_ptr<Continuity> continuity;  // made with the Mover
  std::unique_ptr<Mover> mover;

  // Key, journal and all parts but the Mover; opens no socket and adopts nothing. Errors: those of
  // the parts.
  static Result<std::unique_ptr<Host>> create(IoContext& loop, Clock& clock, Config config);
  Host(IoContext& loop, Clock& clock, Config config, KeyPair key);
  // Its first entry is that this host has joined.
  Status open_diary();
  ~Host();
};

}  // namespace icon::supervisor
