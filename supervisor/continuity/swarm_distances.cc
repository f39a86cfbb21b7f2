#include "supervisor/continuity/swarm_distances.h"

#include <algorithm>
#include <utility>

namespace icon::supervisor {
namespace {

// The first of each ICON, then the second of each, and so on.
std::vector<Address> users_of(const std::vector<HostReport>& reports) {
  std::vector<Address> users;
  std::map<Address, bool> seen;
  for (std::size_t rank = 0; rank < kSwarmUsersMax; ++rank)
    for (const auto& report : reports)
      for (const auto& icon : report.icons) {
        if (rank >= icon.users.size()) continue;
        const auto& user = icon.users[rank].address;
        if (users.size() < kSwarmTargetsMax && !std::exchange(seen[user], true))
          users.push_back(user);
      }
  return users;
}

}  // namespace

std::vector<Address> SwarmDistances::targets(const std::vector<HostReport>& reports,
                                             SteadyTime now) {
  const auto users = users_of(reports);
  std::map<Address, Distance> before = std::exchange(distances_, {});
  std::vector<Address> due;
  for (const auto& user : users) {
    const Distance& known = distances_[user] = before[user];
    const Millis rest = known.answered ? limits_.again : limits_.once_more;
    if (!known.asked || now - *known.asked >= rest) due.push_back(user);
  }
  // nullopt, never asked, is before all times.
  std::stable_sort(due.begin(), due.end(), [&](const Address& left, const Address& right) {
    return distances_[left].asked < distances_[right].asked;
  });
  due.resize(std::min(due.size(), limits_.targets_max));
  for (const auto& user : due) {
    distances_[user].asked = now;
    distances_[user].answered = false;
  }
  return due;
}

void SwarmDistances::answered(const Address& user, std::int64_t rtt_us) {
  const auto found = distances_.find(user);
  if (found == distances_.end()) return;  // nobody's user any more
  found->second.rtt_us = rtt_us;
  found->second.answered = true;
}

std::map<Address, std::int64_t> SwarmDistances::known() const {
  std::map<Address, std::int64_t> known;
  for (const auto& [user, distance] : distances_)
    if (distance.rtt_us) known[user] = *distance.rtt_us;
  return known;
}

}  // namespace icon::supervisor
