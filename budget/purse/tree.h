// One budget over a tree of ICONs: the documents by which purses hand money down and back. Every
// function logs first and signs then; calling it again after a crash gives the document again.
// Over the whole tree spent + held never exceeds the root's budget, whatever is lost, late or sent
// twice, as long as each member keeps its own log and signs only what is in it.
#pragma once

#include <span>

#include "budget/purse/purse.h"
#include "wire/share.h"

namespace icon::budget {

// What a member knows about those above it; given to it when it is made. The root has no parent.
struct Lineage {
  PublicKey self;
  std::vector<PublicKey> above;  // the parent, its parent, ... the root

  bool has_above(const PublicKey& key) const;
};

// Gives `child` so much that its total is `total`; the document to send. A lower total than the
// present one only repeats the document. Errors: kLimit (not that much left); store's.
Result<wire::Envelope> share_with(Purse& purse, const KeyPair& key, const Lineage& lineage,
                                  const PublicKey& child, MicroCredits total, UtcMillis now_ms);

// Takes a share from the parent, or from an ancestor that has adopted this member. An older or
// repeated one changes nothing. Errors: kUnauthenticated (from a stranger, for another), kInvalid,
// kLimit; store's.
Status accept_share(Purse& purse, const Lineage& lineage, const wire::Envelope& share,
                    UtcMillis now_ms);

// Gives back all that is free of what `grantor` gave, to the grantor or, when that is gone, to an
// ancestor of it; the document to send, also when nothing more is free. Errors: kRefused (`to` is
// neither), kNotFound (that grantor gave nothing); store's.
Result<wire::Envelope> return_rest(Purse& purse, const KeyPair& key, const Lineage& lineage,
                                   const PublicKey& grantor, const PublicKey& to, UtcMillis now_ms);

// Takes back what a descendant returns. `path`: the shares by which the money went down, ours
// first; may be empty when we were the grantor. What is credited through one child never exceeds
// what that child was given. Errors: kUnauthenticated (not addressed to us, or the path does not
// lead from us to it), kInvalid, kLimit; store's.
Status accept_return(Purse& purse, const Lineage& lineage, const wire::Envelope& returned,
                     std::span<const wire::Envelope> path, UtcMillis now_ms);

}  // namespace icon::budget
