// The source's side of a migration: performs what migration/transaction.h decides. One object per
// move; it lives until the transaction ends and may be told so by the Mover. Loop thread only.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/keys.h"
#include "base/task.h"
#include "migration/archive.h"
#include "migration/checkpointer.h"
#include "migration/transaction.h"
#include "supervisor/freeze_guard.h"
#include "supervisor/memory_directory.h"
#include "supervisor/move_record.h"
#include "supervisor/move_stream.h"
#include "supervisor/mover.h"
#include "supervisor/net/network.h"
#include "supervisor/stubs.h"
#include "supervisor/tunnel_uses.h"
#include "wire/birth.h"

namespace icon::supervisor {

struct Host;

class SourceMove {
 public:
  // Verifies the request against journal and clock and writes the first journal row. Errors:
  // kUnauthenticated, kExpired, kInvalid, kConflict, kNotFound.
  static Result<std::unique_ptr<SourceMove>> create(Host& host, Stubs& stubs,
                                                    migration::Checkpointer& checkpointer,
                                                    MoveRequest request);
  // From the journal after a restart. Errors: kInvalid when the row cannot be read.
  static Result<std::unique_ptr<SourceMove>> recover(Host& host, Stubs& stubs,
                                                     migration::Checkpointer& checkpointer,
                                                     MigrationRecord record);

  const std::string& id() const { return record_.id(); }
  const std::string& icon_id() const { return record_.data().icon; }
  // Returns when the transaction has ended, one way or the other.
  Task<void> run();

 private:
  SourceMove(Host& host, Stubs& stubs, migration::Checkpointer& checkpointer,
             MigrationRecord record)
      : host_(host), stubs_(stubs), checkpointer_(checkpointer), record_(host, std::move(record)) {}
  Status read_documents();

  // --- Replicas (move_source_replica.cc): the ICON here is the parent, the order its child's.
  bool is_replica() const { return birth_.has_value(); }
  migration::SourceKind kind() const;
  static Status check_replica(const MoveRequest& request, const wire::MoveOrder& order,
                              const IconRecord& parent, UtcMillis now_ms);
  Task<Status> keep_files();
  Status serve_on();
  void report_replica(bool started);

  Task<migration::SourceEvent> perform(const std::vector<migration::SourceAction>& actions);
  Task<Status> perform_one(migration::SourceAction action);

  Task<Status> reserve();
  Task<Status> stage();
  Task<Status> send_image();
  Task<Status> send_layer();
  Task<Status> send_memory();
  Status start_stream(std::optional<migration::PageSource::Processes> processes);
  void note_memory(const migration::PageSource::Report& report);
  Task<Status> quiesce();
  Status hold();
  Task<void> let_datagrams_be_read();
  Task<Status> freeze();
  Task<Status> dump();
  Task<Result<MoveStream::Rest>> collect_files(Millis limit);
  Task<Status> transfer();
  Task<Status> restore_at_peer();
  Status journal_commit();
  Task<migration::SourceEvent> send_commit();
  Task<Status> divert();
  Task<Status> destroy_original();
  Task<void> settle_up();
  Task<void> tell_stub_host(const json::Object& stub);
  Status journal_rollback();
  // The owner's brake may be set and lifted while this goes on: the row knows.
  bool is_on_hold() const;
  void abort_at_peer();
  void report(bool moved);
  wire::Manifest manifest() const;
  void end_stream_phase();
  Task<void> drop_stream();

  // A JSON call to the destination; the answer's object. Errors: the peer's.
  Task<Result<json::Object>> call_peer(std::string method, std::string target, json::Value body,
                                       Millis limit);
  Task<Status> upload(std::string target, std::vector<migration::TreePart> parts);

  Host& host_;
  Stubs& stubs_;
  migration::Checkpointer& checkpointer_;
  MoveRecord record_;
  migration::SourceTransaction transaction_;
  wire::Envelope order_envelope_;
  wire::Envelope lease_envelope_;
  wire::MoveOrder order_;
  wire::Lease lease_;
  std::optional<wire::Birth> birth_;
  std::optional<KeyPair> child_key_;
  std::optional<MoveStream::Rest> kept_files_;  // a snapshot's, as they were when it was taken
  // Read by the thread that reads memory.
  const std::shared_ptr<std::atomic<bool>> is_quiet_ = std::make_shared<std::atomic<bool>>(false);
  Endpoint api_;
  std::string peer_id_;
  TunnelUses::Use tunnel_use_;  // until the end, or until a stub needs the tunnel
  Stubs::Use redirector_use_;   // the same
  bool peer_has_image_ = false;
  IconRecord icon_;
  migration::TreeSnapshot staged_layer_;
  // What a standby had of the layer and has been removed since.
  std::vector<std::string> removed_;
  std::optional<migration::TreeSnapshot> standby_layer_;
  bool peer_takes_memory_ = false;
  MemoryDirectory memory_;  // the checkpoint
  std::unique_ptr<MoveStream> stream_;
  std::uint64_t stream_sent_ = 0;
  std::uint64_t stream_counted_ = 0;  // of these, those of earlier phases
  std::uint64_t dumped_bytes_ = 0;
  std::optional<FreezeGuard> guard_;
  SteadyTime gap_start_{};
  SteadyTime asking_since_{};  // how the commit ended
  std::string error_;
  bool is_recovered_ = false;
  const std::shared_ptr<const bool> alive_ = std::make_shared<const bool>(true);
};

}  // namespace icon::supervisor
