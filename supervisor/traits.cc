#include "supervisor/traits.h"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <filesystem>
#include <span>

#include "base/file.h"
#include "base/log.h"
#include "base/subprocess.h"
#include "supervisor/host.h"
#include "supervisor/mover.h"
#include "supervisor/peer_client.h"

namespace icon::supervisor {
namespace {

constexpr Millis kProgramMax{10'000};
constexpr Millis kTraitsConnectLimit{3'000};
constexpr Millis kTraitsAnswerLimit{4'000};

}  // namespace

// However the reading ends, the others go on.
class TraitsReader::Reading {
 public:
  explicit Reading(std::shared_ptr<Gate> gate) : gate_(std::move(gate)) {
    gate_->is_reading = true;
    gate_->changed.expires_at(boost::asio::steady_timer::time_point::max());
  }
  ~Reading() {
    gate_->is_reading = false;
    gate_->changed.cancel();
  }
  Reading(const Reading&) = delete;
  Reading& operator=(const Reading&) = delete;

 private:
  const std::shared_ptr<Gate> gate_;
};

Task<migration::HostTraits> TraitsReader::get() {
  const auto gate = gate_;
  while (gate->is_reading) {
    boost::system::error_code ignored;
    co_await gate->changed.async_wait(
        boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
  }
  if (known_) co_return *known_;
  const Reading reading(gate);
  auto traits = co_await read();
  if (traits.criu != "") known_ = traits;
  co_return traits;
}

Task<migration::HostTraits> TraitsReader::read() const {
  auto traits = migration::read_kernel_traits();
  const auto apart = co_await checkpointer_.memory_can_travel_apart();
  traits.memory_together = apart ? "" : apart.error().message;
  Command command;
  command.argv = {config_.criu, "--version"};
  command.timeout = kProgramMax;
  const auto version = co_await run_command(std::move(command));
  traits.criu = version && version->ok() ? migration::criu_version_in(version->output) : "";
  if (traits.criu == "") co_return traits;
  auto cpu = co_await read_cpu();
  if (cpu)
    traits.cpu = std::move(*cpu);
  else
    log::warn("traits.cpu", {{"error", cpu.error().message}});
  co_return traits;
}

Task<Result<migration::CpuFeatures>> TraitsReader::read_cpu() const {
  const std::string directory = config_.runtime_dir + "/cpuinfo";
  ICON_CO_CHECK(make_directories(directory, 0700));
  Command command;
  command.argv = {config_.criu, "cpuinfo", "dump", "-D", directory, "-W", directory, "-o", "log"};
  command.timeout = kProgramMax;
  const auto outcome = co_await run_command(std::move(command));
  const auto image = read_file(directory + "/cpuinfo.img", migration::kCpuImageBytesMax);
  std::error_code ignored;
  std::filesystem::remove_all(directory, ignored);
  if (!outcome) co_return fail(outcome.error());
  if (!image) co_return fail(image.error());
  co_return migration::read_cpu_image(
      {reinterpret_cast<const std::uint8_t*>(image->data()), image->size()});
}

Task<Result<std::optional<migration::HostTraits>>> ask_traits(Host& host, Endpoint api,
                                                              std::optional<PublicKey> peer) {
  PeerRequest call;
  call.api = std::move(api);
  call.peer = std::move(peer);
  call.target = "/v1/traits";
  call.connect_timeout = kTraitsConnectLimit;
  call.total_timeout = kTraitsAnswerLimit;
  call.response_bytes_max = migration::kTraitsBytesMax;
  ICON_CO_TRY(const auto answer, co_await host.peers->call(std::move(call)));
  if (answer.response.status == 404) co_return std::optional<migration::HostTraits>();
  ICON_CO_TRY(const auto text, http::body_or_error(answer.response));
  ICON_CO_TRY(const auto body, json::parse_object(text, migration::kTraitsBytesMax));
  ICON_CO_TRY(auto traits, migration::HostTraits::from_json(body));
  co_return std::optional(std::move(traits));
}

Task<json::Object> traits_for_reserve(Host& host, int pid) {
  const auto traits = co_await host.mover->traits();
  migration::TraitNeeds needs;
  needs.starts_afresh = pid == 0;
  needs.ipv6_sockets = pid != 0 && migration::has_ipv6_sockets(pid);
  co_return json::Object{{"traits", traits.to_json()}, {"needs", needs.to_json()}};
}

Task<Status> refuse_unfit(Host& host, const json::Object& reservation) {
  const auto* source = reservation.if_contains("source");
  if (source == nullptr) co_return Status{};  // an earlier version
  if (!source->is_object()) co_return fail(Code::kInvalid, "field 'source' is no object");
  ICON_CO_TRY(const auto* told, json::get_object(source->get_object(), "traits"));
  ICON_CO_TRY(const auto* needed, json::get_object(source->get_object(), "needs"));
  ICON_CO_TRY(const auto there, migration::HostTraits::from_json(*told));
  const auto here = co_await host.mover->traits();
  const auto words = migration::blocking_words(
      migration::find_host_obstacles(there, here, migration::TraitNeeds::from_json(*needed)));
  if (words.empty()) co_return Status{};
  co_return fail(Code::kRefused, "it cannot run at " + host.config.provider_name + ": " + words);
}

}  // namespace icon::supervisor
