// What both sides of a migration share: limits, paths, and the JSON of tunnels and stubs.
#pragma once

#include <boost/asio/thread_pool.hpp>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/json.h"
#include "base/keys.h"
#include "base/result.h"
#include "base/task.h"
#include "supervisor/journal.h"
#include "supervisor/net/network.h"
#include "supervisor/peer_client.h"
#include "wire/documents.h"

namespace icon::supervisor {

struct Host;

inline constexpr std::size_t kPeerAnswerBytesMax = 1 << 20;
inline constexpr std::size_t kStubsMax = 16;  // hosts that forward to one ICON
inline constexpr std::uint64_t kCheckpointBytesMax = 16ull << 30;
inline constexpr std::uint64_t kImageBytesMax = 32ull << 30;

// For hashing, scanning and removing; one thread, so that bulk work never takes both cores. It may
// take minutes, for anybody's ICON.
boost::asio::thread_pool& worker_pool();
// Another thread, for what a frozen service waits for: never behind strangers' bulk work.
boost::asio::thread_pool& gap_pool();
// A program that is installed beside this one: "/usr/lib/icon/icon-criu-hold".
std::string program_path(std::string_view name);
// Where the tmpfs of a migration is mounted.
std::string checkpoint_path(const Host& host, const std::string& migration_id);

// A seed of 64 hex digits; no copy of it is left outside of `object`. Errors: kInvalid.
Result<KeyPair> get_key_pair(const json::Object& object, std::string_view field);

json::Object tunnel_to_json(const net::TunnelEnd& end);
Result<net::TunnelEnd> tunnel_from_json(const json::Object& object);
// What the journal keeps of a tunnel, to open it again after a restart.
json::Object tunnel_row(const Endpoint& api, const net::TunnelEnd& remote);

// Hosts that hold a stub of an ICON which runs here: {"host","api","epoch"} each.
std::vector<json::Object> earlier_stubs(const Host& host, const std::string& icon_id);
Status note_earlier_stubs(const Host& host, const std::string& icon_id, json::Array stubs);
// It is not here any more. None is fine.
Status forget_earlier_stubs(const Host& host, const std::string& icon_id);
inline constexpr std::string_view kStubHostsPrefix = "stub_hosts/";  // in the journal, with its id

// The ICON's ports and addresses for the network code. `stub_hosts` as known, less this host.
net::IconNetwork icon_network(const Host& host, const IconRecord& icon);

// A call whose answer changes nothing: logged when it fails. False when the peer could not be asked
// or could not answer (5xx).
Task<bool> deliver(Host& host, PeerRequest request);
// The same, again and again until it is answered or the time has come. Returns at once.
void deliver_later(Host& host, PeerRequest request, UtcMillis until_ms);
void send_in_background(Host& host, const Endpoint& api, const PublicKey& peer, std::string method,
                        std::string target);

}  // namespace icon::supervisor
