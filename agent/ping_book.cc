#include "agent/ping_book.h"

#include <utility>

#include "base/encoding.h"

namespace icon::agent {
namespace {

constexpr std::size_t kPingNonceBytes = 12;
// Of one provider; the prefixes with most weight come back every time.
constexpr std::size_t kFiguresMax = 4 * wire::kPingTargetsMax;

}  // namespace

PingBook::Book* PingBook::book_of(const PublicKey& provider) {
  const auto found = books_.find(provider.id());
  if (found != books_.end()) return &found->second;
  if (books_.size() >= limits_.providers_max) return nullptr;
  return &books_[provider.id()];
}

std::optional<wire::Envelope> PingBook::due(const KeyPair& key, const PublicKey& provider,
                                            const Representatives& users, bool may_know_private) {
  Book* const book = book_of(provider);
  if (book == nullptr || clock_.steady() < book->not_before) return std::nullopt;
  std::erase_if(book->figures, [this](const auto& entry) { return old(entry.second); });
  wire::PingRequest request;
  book->asked.clear();
  for (std::size_t i = 0; i < users.users.size(); ++i) {
    if (i >= wire::kPingTargetsMax || book->figures.size() + book->asked.size() >= kFiguresMax)
      break;
    const Address& user = users.users[i];
    if (user.is_non_public() && !may_know_private) continue;
    if (book->figures.contains(users.prefixes[i])) continue;
    if (book->asked.emplace(user, users.prefixes[i]).second) request.targets.push_back(user);
  }
  if (request.targets.empty()) return std::nullopt;
  request.icon = key.public_key();
  request.provider = provider;
  request.nonce = random_token(kPingNonceBytes);
  request.issued_ms = clock_.utc_ms();
  request.expires_ms = request.issued_ms + limits_.request_lifetime.count();
  auto envelope = wire::seal(key, request);
  if (!envelope) return std::nullopt;
  return std::move(*envelope);
}

Status PingBook::take(const wire::Envelope& envelope, const PublicKey& provider,
                      const std::string& request_digest) {
  ICON_TRY(const auto report, wire::open<wire::PingReport>(envelope));
  if (report.provider != provider)
    return fail(Code::kUnauthenticated,
                "the report is signed by " + short_id(report.provider.id()));
  if (report.request_digest != request_digest)
    return fail(Code::kUnauthenticated, "the report is about another request");
  ICON_CHECK(wire::check_times(report.issued_ms, report.expires_ms, clock_.utc_ms()));
  Book* const book = book_of(provider);
  if (book == nullptr) return fail(Code::kLimit, "too many providers answer");
  const auto asked = std::exchange(book->asked, {});
  for (const auto& figure : report.figures) {
    const auto prefix = asked.find(figure.target);
    if (prefix == asked.end()) continue;
    book->figures[prefix->second] = {figure.rtt_us, clock_.steady()};
  }
  return {};
}

void PingBook::put_off(const PublicKey& provider) {
  if (Book* const book = book_of(provider)) book->not_before = clock_.steady() + limits_.put_off;
}

std::map<Prefix, std::int64_t> PingBook::figures(const std::string& provider_id) const {
  std::map<Prefix, std::int64_t> known;
  const auto book = books_.find(provider_id);
  if (book == books_.end()) return known;
  for (const auto& [prefix, figure] : book->second.figures)
    if (figure.rtt_us && !old(figure)) known.emplace(prefix, *figure.rtt_us);
  return known;
}

}  // namespace icon::agent
