#include "budget/purse/tree.h"

#include <algorithm>

namespace icon::budget {
namespace {

template <class Key>
MicroCredits total_of(const std::map<Key, MicroCredits>& totals, const Key& key) {
  const auto found = totals.find(key);
  return found == totals.end() ? 0 : found->second;
}

tl::unexpected<Error> stranger(const std::string& what) {
  return fail(Code::kUnauthenticated, "purse: " + what);
}

// Which of our children the money went through on its way to whom it is returned from.
Result<PublicKey> through(const Lineage& lineage, const wire::ShareReturn& returned,
                          std::span<const wire::Envelope> path) {
  if (path.empty()) {
    if (returned.grantor != lineage.self) return stranger("a return without the path it came by");
    return returned.child;
  }
  if (path.size() > wire::kAncestorsMax + 1)
    return fail(Code::kLimit, "purse: the path of a return is too long");
  PublicKey at = lineage.self;
  PublicKey first;
  wire::Share last;
  for (const auto& envelope : path) {
    ICON_TRY(last, wire::open<wire::Share>(envelope));
    if (last.parent != at) return stranger("the path of a return has a gap");
    if (at == lineage.self) first = last.child;
    at = last.child;
  }
  if (last.parent != returned.grantor || last.child != returned.child)
    return stranger("the path of a return leads to somebody else");
  if (returned.total_ucredits > last.total_ucredits)
    return fail(Code::kLimit, "purse: more is returned than was given");
  return first;
}

}  // namespace

bool Lineage::has_above(const PublicKey& key) const {
  return std::find(above.begin(), above.end(), key) != above.end();
}

Result<wire::Envelope> share_with(Purse& purse, const KeyPair& key, const Lineage& lineage,
                                  const PublicKey& child, MicroCredits total, UtcMillis now_ms) {
  if (child == lineage.self || lineage.has_above(child))
    return fail(Code::kInvalid, "purse: a share for oneself, or for somebody above");
  if (lineage.above.size() > wire::kAncestorsMax)
    return fail(Code::kLimit, "purse: the tree is too deep");
  ICON_CHECK(purse.share(child.id(), total, now_ms));
  return wire::seal(
      key, wire::Share{lineage.self, child, total_of(purse.state().kin().shares(), child.id()),
                       lineage.above, now_ms});
}

Status accept_share(Purse& purse, const Lineage& lineage, const wire::Envelope& envelope,
                    UtcMillis now_ms) {
  ICON_TRY(const auto share, wire::open<wire::Share>(envelope));
  if (share.child != lineage.self) return stranger("a share for somebody else");
  if (!lineage.has_above(share.parent)) return stranger("a share from a stranger");
  return purse.grant(share.parent.id(), share.total_ucredits, now_ms);
}

Result<wire::Envelope> return_rest(Purse& purse, const KeyPair& key, const Lineage& lineage,
                                   const PublicKey& grantor, const PublicKey& to,
                                   UtcMillis now_ms) {
  const auto& above = lineage.above;
  const auto from = std::find(above.begin(), above.end(), grantor);
  if (from == above.end() || std::find(from, above.end(), to) == above.end())
    return fail(Code::kRefused, "purse: it goes back to who gave it, or further up");
  const auto& kin = purse.state().kin();
  if (kin.grants().count(grantor.id()) == 0)
    return fail(Code::kNotFound, "purse: nothing came from " + short_id(grantor.id()));
  const Return what{grantor.id(), to.id()};
  const auto free = std::min(purse.available(), kin.left_of_grant(what.grantor));
  ICON_CHECK(purse.give_back(what, total_of(kin.returns(), what) + free, now_ms));
  return wire::seal(key, wire::ShareReturn{lineage.self, grantor, to,
                                           total_of(purse.state().kin().returns(), what), now_ms});
}

Status accept_return(Purse& purse, const Lineage& lineage, const wire::Envelope& envelope,
                     std::span<const wire::Envelope> path, UtcMillis now_ms) {
  ICON_TRY(const auto returned, wire::open<wire::ShareReturn>(envelope));
  if (returned.to != lineage.self) return stranger("a return to somebody else");
  ICON_TRY(const auto first, through(lineage, returned, path));
  // A repetition may come with another path: the first one stays.
  const auto way = purse.state().kin().way_of(returned.child.id(), returned.grantor.id());
  return purse.credit({way.value_or(first.id()), returned.child.id(), returned.grantor.id()},
                      returned.total_ucredits, now_ms);
}

}  // namespace icon::budget
