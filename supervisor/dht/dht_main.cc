// icon-dht: a node of a distributed hash table, for a supervisor that advertises itself there and
// for the ICONs on its host. A process of its own, without privileges: it reads what strangers
// send.
#include <fmt/core.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <boost/asio/signal_set.hpp>
#include <string>
#include <utility>
#include <vector>

#include "base/http_server.h"
#include "base/log.h"
#include "supervisor/api_parts.h"
#include "supervisor/dht/dht_node.h"

namespace icon::supervisor {
namespace {

constexpr unsigned kSocketMode = 0600;
constexpr std::size_t kKeyBytesMax = 64;

struct Options {
  std::string listen = "0.0.0.0:4222";
  std::vector<std::string> bootstrap;
  std::string socket = "/run/icon/dht.sock";
  std::string user = "nobody";
};

Result<std::vector<std::string>> keys_of(const json::Object& body) {
  ICON_TRY(const auto* list, json::get_array(body, "keys", DhtLimits{}.keys_max));
  std::vector<std::string> keys;
  for (const auto& item : *list) {
    if (!item.is_string() || item.get_string().size() > kKeyBytesMax)
      return fail(Code::kInvalid, "'keys': not a list of networks");
    keys.emplace_back(item.get_string());
  }
  return keys;
}

Task<Result<json::Value>> publish(DhtNode& node, http::Request request) {
  ICON_CO_TRY(const auto body, body_of(request));
  ICON_CO_TRY(auto keys, keys_of(body));
  ICON_CO_TRY(auto value, json::get_string(body, "value", http::Limits{}.body_bytes_max));
  ICON_CO_CHECK(node.publish(std::move(keys), std::move(value)));
  co_return json::Value(nullptr);
}

Task<Result<json::Value>> look_up(DhtNode& node, http::Request request) {
  ICON_CO_TRY(const auto body, body_of(request));
  ICON_CO_TRY(auto keys, keys_of(body));
  ICON_CO_TRY(const auto found, co_await node.look_up(std::move(keys)));
  json::Array values;
  for (const auto& [key, value] : found.values)
    values.push_back(json::Object{{"key", key}, {"value", value}});
  co_return json::Object{{"values", std::move(values)}, {"left_out", found.left_out}};
}

// Root only binds the socket.
Status drop_privileges(const std::string& user) {
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return fail_errno("no_new_privs");
  if (geteuid() != 0) return {};
  const passwd* account = getpwnam(user.c_str());
  if (account == nullptr || account->pw_uid == 0)
    return fail(Code::kNotFound, "no unprivileged user '" + user + "'");
  if (setgroups(0, nullptr) != 0) return fail_errno("setgroups");
  if (setresgid(account->pw_gid, account->pw_gid, account->pw_gid) != 0)
    return fail_errno("setresgid");
  if (setresuid(account->pw_uid, account->pw_uid, account->pw_uid) != 0)
    return fail_errno("setresuid");
  return {};
}

Status serve(const Options& options) {
  ICON_TRY(const auto listen, Endpoint::parse(options.listen));
  IoContext loop(1);
  boost::asio::signal_set ending(loop, SIGTERM, SIGINT);
  ending.async_wait([&](const boost::system::error_code& error, int) {
    if (!error) loop.stop();
  });
  std::unique_ptr<DhtNode> node;
  http::Router router;
  router.on("PUT", "/v1/advertisement", answering(204, [&](http::Request request) {
              return publish(*node, std::move(request));
            }));
  router.on("POST", "/v1/lookups", answering(200, [&](http::Request request) {
              return look_up(*node, std::move(request));
            }));
  router.on("GET", "/v1/status", answering(200, [&](http::Request) -> Task<Result<json::Value>> {
              co_return json::Object{{"good_nodes", node->good_nodes()}};
            }));
  // Requests wait in the socket until the loop runs: then there is a node.
  ICON_TRY(const auto server,
           http::serve_unix(loop, options.socket, kSocketMode, "", router, http::Limits{}));
  ICON_CHECK(drop_privileges(options.user));
  ICON_TRY(node, start_dht_node(loop, {listen, options.bootstrap, {}}));
  log::info("dht.ready", {{"listen", listen.to_string()}, {"socket", options.socket}});
  loop.run();
  server->stop();
  return {};
}

}  // namespace
}  // namespace icon::supervisor

int main(int argc, char** argv) {
  CLI::App app("A node of a distributed hash table in which ICON providers advertise themselves.");
  icon::supervisor::Options options;
  app.add_option("--listen", options.listen, "UDP address and port of the node");
  app.add_option("--bootstrap", options.bootstrap, "HOST:PORT of other nodes")->expected(1, 32);
  app.add_option("--socket", options.socket, "Unix socket for the supervisor");
  app.add_option("--user", options.user, "Whom to become when started as root");
  CLI11_PARSE(app, argc, argv);
  signal(SIGPIPE, SIG_IGN);
  if (const auto status = icon::supervisor::serve(options); !status) {
    fmt::print(stderr, "icon-dht: {}\n", status.error().message);
    return 1;
  }
  return 0;
}
