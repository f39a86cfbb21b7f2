#include "agent/identity.h"

#include <utility>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"

namespace icon::agent {
namespace {

constexpr std::size_t kBirthBytesMax = 64 << 10;

Status read_birth(std::string_view text, Identity& identity) {
  ICON_TRY(auto object, json::parse_object(text, kBirthBytesMax, json::kOwnDepthMax));
  ICON_TRY(auto envelope, wire::parse_envelope(json::Value(std::move(object))));
  ICON_TRY(auto birth, wire::open<wire::Birth>(envelope));
  if (!identity.key || birth.child != identity.key->public_key())
    return fail(Code::kUnauthenticated, "the birth is another ICON's");
  identity.birth = std::move(birth);
  identity.birth_document = std::move(envelope);
  return {};
}

}  // namespace

Identity load_identity(const std::string& run_dir) {
  Identity identity;
  auto key = KeyPair::load(run_dir + "/icon.key", false);
  if (key)
    identity.key = std::move(*key);
  else
    log::error("key.unavailable",
               {{"message", key.error().message}, {"consequence", "nothing will be bought"}});
  const auto text = read_file(run_dir + "/birth.json", kBirthBytesMax);
  if (!text && text.error().code == Code::kNotFound) return identity;
  identity.is_child = true;
  const auto read = text ? read_birth(*text, identity) : Status(fail(text.error()));
  if (!read)
    log::error("birth.invalid", {{"message", read.error().message},
                                 {"consequence", "no money comes from a parent"}});
  return identity;
}

}  // namespace icon::agent
