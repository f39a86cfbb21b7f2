// Asks a DNS server one question, to know that it is there. Blocking.
#pragma once

#include <string>
#include <vector>

#include "base/address.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/result.h"

namespace icon::lab {

// A query for the zone's SOA record. Pure.
std::vector<std::uint8_t> soa_query(const std::string& zone, std::uint16_t id);
// True when `reply` answers the query with that id without an error and with at least one record.
bool is_good_answer(const std::vector<std::uint8_t>& reply, std::uint16_t id);

// Asks from within `netns`, again and again, until `server` gives a good answer for every zone.
// Errors: kTimeout naming the zone.
Status wait_for_zones(const UniqueFd& netns, const Address& server,
                      const std::vector<std::string>& zones, Millis limit);

}  // namespace icon::lab
