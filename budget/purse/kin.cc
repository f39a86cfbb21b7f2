#include "budget/purse/kin.h"

#include <fmt/format.h>

#include <vector>

#include "base/assert.h"

namespace icon::budget {
namespace {

Status check_name(const std::string& name) {
  if (name.empty() || name.size() > kKinIdBytesMax || name.find('/') != std::string::npos)
    return fail(Code::kInvalid, "purse: '" + name.substr(0, kKinIdBytesMax) + "' is no id");
  return {};
}

Result<std::vector<std::string>> parts_of(const std::string& id, std::size_t count) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin <= id.size() && parts.size() <= count;) {
    const auto end = std::min(id.find('/', begin), id.size());
    parts.push_back(id.substr(begin, end - begin));
    ICON_CHECK(check_name(parts.back()));
    begin = end + 1;
  }
  if (parts.size() != count)
    return fail(Code::kInvalid, fmt::format("purse: an id of {} parts was expected", count));
  return parts;
}

template <class Key>
MicroCredits total_of(const std::map<Key, MicroCredits>& totals, const Key& key) {
  const auto found = totals.find(key);
  return found == totals.end() ? 0 : found->second;
}

// How much `total` adds. All sums stay below kKinMax * kMicroCreditsMax, which fits.
template <class Key>
Result<MicroCredits> more(const std::map<Key, MicroCredits>& totals, const Key& key,
                          MicroCredits total) {
  if (total < 0 || total > kMicroCreditsMax)
    return fail(Code::kInvalid, fmt::format("purse: {} is no amount", total));
  if (totals.size() >= kKinMax && totals.count(key) == 0)
    return fail(Code::kLimit, "purse: too many kin");
  const auto known = total_of(totals, key);
  if (total <= known)
    return fail(Code::kConflict, fmt::format("purse: a total of {} credits, but {} are known",
                                             format_credits(total), format_credits(known)));
  return total - known;
}

template <class Key>
void set(std::map<Key, MicroCredits>& totals, MicroCredits& sum, const Key& key,
         MicroCredits total) {
  auto& known = totals[key];
  ICON_ASSERT(total > known);
  sum += total - known;
  known = total;
}

}  // namespace

std::string to_id(const Return& what) { return what.grantor + '/' + what.to; }
std::string to_id(const Credit& what) {
  return what.through + '/' + what.child + '/' + what.grantor;
}

Result<Return> return_of(const std::string& id) {
  ICON_TRY(const auto parts, parts_of(id, 2));
  return Return{parts[0], parts[1]};
}

Result<Credit> credit_of(const std::string& id) {
  ICON_TRY(const auto parts, parts_of(id, 3));
  return Credit{parts[0], parts[1], parts[2]};
}

Result<MicroCredits> Kin::more_granted(const std::string& grantor, MicroCredits total) const {
  ICON_CHECK(check_name(grantor));
  return more(granted_, grantor, total);
}

Result<MicroCredits> Kin::more_shared(const std::string& child, MicroCredits total) const {
  ICON_CHECK(check_name(child));
  return more(shared_, child, total);
}

Result<MicroCredits> Kin::more_returned(const std::string& id, MicroCredits total) const {
  ICON_TRY(const auto what, return_of(id));
  ICON_TRY(const auto added, more(returned_, what, total));
  if (added > left_of_grant(what.grantor))
    return fail(Code::kLimit, "purse: more goes back than " + what.grantor + " granted");
  return added;
}

Result<MicroCredits> Kin::more_credited(const std::string& id, MicroCredits total) const {
  ICON_TRY(const auto what, credit_of(id));
  // The same return by another path would be the same money twice.
  if (const auto known = way_of(what.child, what.grantor); known && *known != what.through)
    return fail(Code::kInvalid, "purse: what " + what.child + " returns came another way before");
  ICON_TRY(const auto added, more(credited_, what, total));
  if (added > left_of_share(what.through))
    return fail(Code::kLimit, "purse: more comes back than went through " + what.through);
  return added;
}

void Kin::set_granted(const std::string& grantor, MicroCredits total) {
  set(granted_, granted_sum_, grantor, total);
}
void Kin::set_shared(const std::string& child, MicroCredits total) {
  set(shared_, shared_sum_, child, total);
}
void Kin::set_returned(const std::string& id, MicroCredits total) {
  set(returned_, returned_sum_, *return_of(id), total);
}
void Kin::set_credited(const std::string& id, MicroCredits total) {
  set(credited_, credited_sum_, *credit_of(id), total);
}

std::optional<std::string> Kin::way_of(const std::string& child, const std::string& grantor) const {
  for (const auto& [what, total] : credited_)
    if (what.child == child && what.grantor == grantor) return what.through;
  return std::nullopt;
}

MicroCredits Kin::left_of_grant(const std::string& grantor) const {
  auto left = total_of(granted_, grantor);
  for (const auto& [what, total] : returned_)
    if (what.grantor == grantor) left -= total;
  return left;
}

MicroCredits Kin::left_of_share(const std::string& child) const {
  auto left = total_of(shared_, child);
  for (const auto& [what, total] : credited_)
    if (what.through == child) left -= total;
  return left;
}

}  // namespace icon::budget
