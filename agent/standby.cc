#include "agent/standby.h"

#include "agent/rounds.h"
#include "base/log.h"
#include "budget/allow_list.h"
#include "wire/continuity.h"

namespace icon::agent {

Result<wire::Envelope> consent_to_standby(const KeyPair& key, const Self& self,
                                          const Policy& policy, const StandbyQuestion& question,
                                          UtcMillis now_ms) {
  const budget::AllowList allowed{policy.allow, policy.deny};
  const budget::ProviderNames names{question.name, question.domain, question.to.id(), false};
  if (const auto barred = allowed.check(names))
    return fail(Code::kRefused, barred->code + ": " + barred->message);
  // Where a host stands is known from its offers only, and here nobody has asked for one.
  if (!policy.residency.anywhere())
    return fail(Code::kRefused, "residency: the policy says where its files may be");
  wire::StandbyOrder order;
  order.icon = key.public_key();
  order.standby_id = question.standby_id;
  order.epoch = self.epoch;
  order.from = self.supervisor;
  order.to = question.to;
  order.issued_ms = now_ms;
  order.expires_ms = now_ms + question.seconds * 1000;
  // Reading it back applies the document's own limits to what the host asked for.
  ICON_CHECK(wire::StandbyOrder::from_json(order.to_json()));
  return wire::seal(key, order);
}

void Rounds::answer_standby(StandbyQuestion question) {
  tasks_.spawn("standby", standby_task(std::move(question)));
}

Task<void> Rounds::standby_task(StandbyQuestion question) {
  if (!self_ || !key() || key()->public_key() != self_->icon) co_return;
  auto order = consent_to_standby(*key(), *self_, options_.policy, question, clock_.utc_ms());
  Status told = order ? Status() : Status(fail(order.error()));
  if (order) told = co_await link_.post_standby(std::move(*order));
  if (!told)
    log::info("standby.refused", {{"to", question.to.id()},
                                  {"code", to_string(told.error().code)},
                                  {"message", told.error().message}});
}

}  // namespace icon::agent
