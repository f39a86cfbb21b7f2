// A DNS server by TCP on loopback that answers what it is told to: what a real one says only when
// it, or the way to it, is not as it should be.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <ldns/ldns.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/address.h"
#include "base/fd.h"

namespace icon::test {

inline constexpr const char* kScriptedKey = "icon.key.";
inline constexpr const char* kScriptedSecret = "c2VjcmV0LW9mLTMyLWJ5dGVzLTAxMjM0NTY3ODkwMTI=";

struct ScriptedAnswer {
  ldns_pkt_rcode rcode = LDNS_RCODE_NOERROR;
  std::optional<std::string> secret = kScriptedSecret;  // none: no signature
  std::uint16_t tsig_error = 0;
  bool is_silent = false;
  bool is_cut_off = false;  // the connection ends within the message
  bool is_truncated = false;
  bool is_garbage = false;
  bool has_another_id = false;
  std::vector<std::string> records;  // as in a zone file
};

class ScriptedDns {
 public:
  ScriptedDns() : listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* raw = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(bind(listener_.get(), raw, size), 0);
    EXPECT_EQ(listen(listener_.get(), 8), 0);
    EXPECT_EQ(getsockname(listener_.get(), raw, &size), 0);
    endpoint_ = {Address::v4({127, 0, 0, 1}), ntohs(address.sin_port)};
    thread_ = std::thread([this] { serve(); });
  }
  ~ScriptedDns() {
    shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }
  ScriptedDns(const ScriptedDns&) = delete;
  ScriptedDns& operator=(const ScriptedDns&) = delete;

  const Endpoint& endpoint() const { return endpoint_; }
  // The last one stays for all later ones. Queries are answered unsigned whatever is said here.
  void answer(std::vector<ScriptedAnswer> queries, std::vector<ScriptedAnswer> updates) {
    const std::lock_guard lock(mutex_);
    queries_ = std::move(queries);
    updates_ = std::move(updates);
    updates_seen_ = 0;
  }
  int updates_seen() const { return updates_seen_; }

 private:
  struct Free {
    void operator()(ldns_pkt* packet) const { ldns_pkt_free(packet); }
    void operator()(std::uint8_t* bytes) const { std::free(bytes); }
  };
  using Packet = std::unique_ptr<ldns_pkt, Free>;

  void serve() {
    for (;;) {
      UniqueFd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!fd) return;
      std::uint8_t length[2];
      if (recv(fd.get(), length, 2, MSG_WAITALL) != 2) continue;
      std::vector<std::uint8_t> bytes(static_cast<std::size_t>(length[0] << 8 | length[1]));
      if (recv(fd.get(), bytes.data(), bytes.size(), MSG_WAITALL) !=
          static_cast<ssize_t>(bytes.size()))
        continue;
      ldns_pkt* parsed = nullptr;
      EXPECT_EQ(ldns_wire2pkt(&parsed, bytes.data(), bytes.size()), LDNS_STATUS_OK);
      reply(std::move(fd), Packet(parsed));
    }
  }

  ScriptedAnswer next(bool is_update) {
    const std::lock_guard lock(mutex_);
    if (is_update) ++updates_seen_;
    auto& answers = is_update ? updates_ : queries_;
    if (answers.empty()) return {};
    auto answer = answers.front();
    if (answers.size() > 1) answers.erase(answers.begin());
    if (!is_update) answer.secret.reset();
    return answer;
  }

  void reply(UniqueFd fd, Packet query) {
    const auto answer = next(ldns_pkt_get_opcode(query.get()) == LDNS_PACKET_UPDATE);
    if (answer.is_silent) {
      silent_.push_back(std::move(fd));
      return;
    }
    auto bytes =
        answer.is_garbage ? std::vector<std::uint8_t>(40, 0xff) : wire(answer, query.get());
    const auto size = bytes.size();
    bytes.insert(bytes.begin(),
                 {static_cast<std::uint8_t>(size >> 8), static_cast<std::uint8_t>(size)});
    if (answer.is_cut_off) bytes.resize(bytes.size() / 2);
    EXPECT_EQ(send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }

  static std::vector<std::uint8_t> wire(const ScriptedAnswer& answer, const ldns_pkt* query) {
    const Packet packet(ldns_pkt_new());
    ldns_pkt_set_id(packet.get(),
                    static_cast<std::uint16_t>(ldns_pkt_id(query) + answer.has_another_id));
    ldns_pkt_set_qr(packet.get(), true);
    ldns_pkt_set_aa(packet.get(), true);
    ldns_pkt_set_tc(packet.get(), answer.is_truncated);
    ldns_pkt_set_opcode(packet.get(), ldns_pkt_get_opcode(query));
    ldns_pkt_set_rcode(packet.get(), static_cast<std::uint8_t>(answer.rcode));
    ldns_rr_list* asked = ldns_rr_list_clone(ldns_pkt_question(query));
    ldns_pkt_push_rr_list(packet.get(), LDNS_SECTION_QUESTION, asked);
    ldns_rr_list_free(asked);  // its records are the packet's now
    for (const auto& line : answer.records) {
      ldns_rr* record = nullptr;
      EXPECT_EQ(ldns_rr_new_frm_str(&record, line.c_str(), 30, nullptr, nullptr), LDNS_STATUS_OK);
      ldns_pkt_push_rr(packet.get(), LDNS_SECTION_ANSWER, record);
    }
    if (answer.secret) {
      const auto* mac = ldns_rr_rdf(ldns_pkt_tsig(query), 3);
      EXPECT_EQ(ldns_pkt_tsig_sign(packet.get(), kScriptedKey, answer.secret->c_str(), 300,
                                   "hmac-sha256.", mac),
                LDNS_STATUS_OK);
      if (answer.tsig_error != 0)
        ldns_rdf_deep_free(
            ldns_rr_set_rdf(ldns_pkt_tsig(packet.get()),
                            ldns_native2rdf_int16(LDNS_RDF_TYPE_INT16, answer.tsig_error), 5));
    }
    std::uint8_t* raw = nullptr;
    std::size_t size = 0;
    EXPECT_EQ(ldns_pkt2wire(&raw, packet.get(), &size), LDNS_STATUS_OK);
    const std::unique_ptr<std::uint8_t, Free> owned(raw);
    return {raw, raw + size};
  }

  UniqueFd listener_;
  Endpoint endpoint_;
  std::mutex mutex_;
  std::vector<ScriptedAnswer> queries_;
  std::vector<ScriptedAnswer> updates_;
  std::atomic<int> updates_seen_ = 0;
  std::vector<UniqueFd> silent_;  // the thread's
  std::thread thread_;
};

}  // namespace icon::test
