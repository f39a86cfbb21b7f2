// A life in documents: an ICON joins a host, is checkpointed, moves, replicates and ends.
#pragma once

#include <vector>

#include "budget/ledger/life.h"

namespace icon::budget::ledger {

struct SampleLife {
  static constexpr UtcMillis kStart = 1'700'000'000'000;
  KeyPair origin = KeyPair::generate();
  KeyPair edge = KeyPair::generate();
  KeyPair icon = KeyPair::generate();
  KeyPair child = KeyPair::generate();
  std::vector<wire::Envelope> documents;

  SampleLife() {
    const auto host = origin.public_key();
    const auto to = edge.public_key();
    const auto self = icon.public_key();
    record(origin, host_joins(at("h1", origin, 0), host));
    record(edge, host_joins(at("h2", edge, 1), to));
    record(icon, icon_joins(at("j1", icon, 2), self, host, ""));
    documents.push_back(make_lease());
    const auto lease = document_entity(documents.back());
    record(origin, checkpointed(at("c1", origin, 4), self, 1, "m1"));
    record(edge, moved(at("m1", edge, 5), self, 2, "m1", to, lease));
    record(edge, checkpointed(at("c2", edge, 6), self, 2, "m2"));
    record(edge, replicated(at("r1", edge, 7), child.public_key(), "m2", to, lease));
    record(child, ended(at("e1", child, 8), child.public_key(), 1));
    record(icon, ended(at("e2", icon, 9), self, 2));
  }

 private:
  static Occasion at(const char* id, const KeyPair& actor, int minute) {
    return {id, actor.public_key(), kStart + minute * 60'000, kStart + minute * 60'000 + 5'000};
  }
  void record(const KeyPair& key, const wire::LifeEvent& event) {
    documents.push_back(*wire::seal(key, event));
  }
  wire::Envelope make_lease() const {
    wire::Bid bid;
    bid.icon = icon.public_key();
    bid.provider = edge.public_key();
    bid.offer_digest = "0a";
    bid.resources = {500, 256 << 20, 10'000'000};
    bid.slot_seconds = 3600;
    bid.price_ucredits = 5'000;
    bid.epoch = 2;
    bid.nonce = "n";
    bid.issued_ms = kStart;
    bid.expires_ms = kStart + 60'000;
    return *wire::seal(edge, wire::Lease{"lease-1", edge.public_key(), *wire::seal(icon, bid),
                                         kStart, kStart, kStart + 3'600'000});
  }
};

}  // namespace icon::budget::ledger
