// A zone in which anybody may have written anything: what is taken away was an ICON's own or a dead
// one's, nothing wanted goes, and one change is enough.
#include <algorithm>
#include <charconv>

#include "agent/dns_plan.h"
#include "tests/fuzz/fuzz_target.h"

namespace icon::agent {
namespace {

template <class Item>
bool is_in(const std::vector<Item>& items, const Item& item) {
  return std::find(items.begin(), items.end(), item) != items.end();
}

// As a server would.
template <class Item>
void change(std::vector<Item>& items, const std::vector<Item>& removed,
            const std::vector<Item>& added) {
  std::erase_if(items, [&](const Item& item) { return is_in(removed, item); });
  for (const auto& item : added)
    if (!is_in(items, item)) items.push_back(item);
}

}  // namespace

// Lines: "T text", "A address", "W address that is wanted", "N now".
ICON_FUZZ_TARGET(dns_plan) {
  DnsSeen seen;
  std::vector<Address> want;
  UtcMillis now_ms = 1'800'000'000'000;
  while (!input.empty()) {
    const auto end = std::min(input.find('\n'), input.size());
    const auto line = input.substr(0, end);
    input.remove_prefix(std::min(end + 1, input.size()));
    if (line.size() < 3) continue;
    const auto rest = line.substr(2);
    if (line[0] == 'T') seen.texts.emplace_back(rest);
    UtcMillis now = 0;
    if (line[0] == 'N' &&
        std::from_chars(rest.data(), rest.data() + rest.size(), now).ec == std::errc{} &&
        now >= 0 && now < INT64_MAX / 2)
      now_ms = now;
    const auto address = Address::parse(rest);
    if (!address) continue;
    auto& list = line[0] == 'W' ? want : seen.addresses;
    if ((line[0] == 'A' || line[0] == 'W') && !is_in(list, *address)) list.push_back(*address);
  }
  const auto plan = plan_dns(seen, "me", want, now_ms);
  for (const auto& address : plan.remove) {
    ICON_FUZZ_REQUIRE(is_in(seen.addresses, address) && !is_in(want, address));
    // A living one of somebody else's; one without an end lives.
    const std::string held = "v=icon1 id=you a=" + address.to_string();
    ICON_FUZZ_REQUIRE(!is_in(seen.texts, held));
  }
  for (const auto& text : plan.remove_marks)
    ICON_FUZZ_REQUIRE(is_in(seen.texts, text) && text.starts_with("v=icon1 id="));
  for (const auto& address : plan.add) ICON_FUZZ_REQUIRE(is_in(want, address));
  change(seen.addresses, plan.remove, plan.add);
  change(seen.texts, plan.remove_marks, plan.add_marks);
  const auto again = plan_dns(seen, "me", want, now_ms);
  ICON_FUZZ_REQUIRE(again.empty());
  ICON_FUZZ_REQUIRE(again.foreign == plan.foreign);
}

}  // namespace icon::agent
