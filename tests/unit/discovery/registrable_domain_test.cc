#include "discovery/registrable_domain.h"

#include <gtest/gtest.h>

namespace icon::discovery {
namespace {

TEST(RegistrableDomain, FollowsTheList) {
  EXPECT_EQ(*registrable_domain("ae1.r2.isp.co.uk"), "isp.co.uk");
  EXPECT_EQ(*registrable_domain("core1.fra.example.com."), "example.com");
  EXPECT_EQ(*registrable_domain("Example.COM"), "example.com");
  EXPECT_EQ(*registrable_domain("a.b.city.kawasaki.jp"), "city.kawasaki.jp");  // exception rule
  EXPECT_EQ(*registrable_domain("x.y.z.ck"), "y.z.ck");                        // wildcard rule
}

TEST(RegistrableDomain, UnknownTopLevelDomainIsOneSuffix) {
  EXPECT_EQ(*registrable_domain("e0.a1r1.isp1.test"), "isp1.test");
  EXPECT_EQ(*registrable_domain("isp1.test"), "isp1.test");
  EXPECT_EQ(registrable_domain("test").error().code, Code::kNotFound);
}

TEST(RegistrableDomain, SuffixesBelongToNobody) {
  EXPECT_EQ(registrable_domain("co.uk").error().code, Code::kNotFound);
  EXPECT_EQ(registrable_domain("com").error().code, Code::kNotFound);
  // A customer of a hosting company is not that company.
  EXPECT_EQ(*registrable_domain("www.someone.github.io"), "someone.github.io");
}

TEST(RegistrableDomain, RefusesWhatIsNoName) {
  for (const char* bad : {"", ".", "a..b", "192.0.2.1", "a b.com"})
    EXPECT_EQ(registrable_domain(bad).error().code, Code::kInvalid) << bad;
}

}  // namespace
}  // namespace icon::discovery
