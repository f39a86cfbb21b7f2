#include "lab/dns_probe.h"

#include <gtest/gtest.h>

namespace icon::lab {
namespace {

TEST(DnsProbe, AsksForTheZonesSoa) {
  const std::vector<std::uint8_t> expected{0x12, 0x34, 1, 0,   0,   1,   0,   0, 0, 0, 0, 0,
                                           1,    'a',  4, 't', 'e', 's', 't', 0, 0, 6, 0, 1};
  EXPECT_EQ(soa_query("a.test.", 0x1234), expected);
  EXPECT_EQ(soa_query(".", 1).size(), 12u + 5u);
}

TEST(DnsProbe, AcceptsOnlyAGoodAnswerToItsQuestion) {
  std::vector<std::uint8_t> reply{0, 7, 0x84, 0, 0, 1, 0, 1, 0, 0, 0, 0};
  EXPECT_TRUE(is_good_answer(reply, 7));
  EXPECT_FALSE(is_good_answer(reply, 8));
  reply[3] = 2;  // SERVFAIL
  EXPECT_FALSE(is_good_answer(reply, 7));
  reply[3] = 0;
  reply[7] = 0;  // no record
  EXPECT_FALSE(is_good_answer(reply, 7));
  EXPECT_FALSE(is_good_answer(soa_query("test.", 7), 7));
  EXPECT_FALSE(is_good_answer({0, 7}, 7));
}

}  // namespace
}  // namespace icon::lab
