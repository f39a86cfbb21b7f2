#include "budget/lease/phase.h"

#include <gtest/gtest.h>

#include "tests/unit/budget_lease/sample_tenancy.h"

namespace icon::budget::lease {
namespace {

constexpr auto kStart = SampleTenancy::kStart;

TEST(PhaseTest, NothingIsOwedBeforeItIsConfirmed) {
  Times times;
  times.confirm_until_ms = 100;
  EXPECT_EQ(phase_of(times, 99), Phase::kReserved);
  EXPECT_EQ(phase_of(times, 100), Phase::kLapsed);
  EXPECT_EQ(phase_of(times, 1'000'000), Phase::kLapsed);
}

TEST(PhaseTest, TheClockAloneEndsIt) {
  const Times times{true, 100, 200, 1'000, 300, 50};
  EXPECT_EQ(phase_of(times, 150), Phase::kWaiting);
  EXPECT_EQ(phase_of(times, 200), Phase::kRunning);
  EXPECT_EQ(phase_of(times, 699), Phase::kRunning);
  EXPECT_EQ(phase_of(times, 700), Phase::kLastTerm);
  EXPECT_EQ(phase_of(times, 999), Phase::kLastTerm);
  EXPECT_EQ(phase_of(times, 1'000), Phase::kGrace);
  EXPECT_EQ(phase_of(times, 1'050), Phase::kOver);
}

TEST(ConfirmationTest, ByTheBidderInTime) {
  const SampleTenancy sample;
  const auto reservation = *wire::seal(
      sample.provider,
      wire::Reservation{sample.provider.public_key(), sample.bid(), kStart, kStart + 5'000});
  const auto confirm = [&](const KeyPair& key, const std::string& digest) {
    return *wire::seal(key, wire::Confirmation{key.public_key(), digest, kStart});
  };
  const auto good = confirm(sample.icon, reservation.digest());
  EXPECT_TRUE(check_confirmation(reservation, good, kStart + 4'999));
  EXPECT_EQ(check_confirmation(reservation, good, kStart + 5'000).error().code, Code::kExpired);
  EXPECT_EQ(check_confirmation(reservation, confirm(sample.provider, reservation.digest()), kStart)
                .error()
                .code,
            Code::kUnauthenticated);
  EXPECT_EQ(check_confirmation(reservation, confirm(sample.icon, std::string(64, 'a')), kStart)
                .error()
                .code,
            Code::kInvalid);
  const auto other = KeyPair::generate();
  const auto stolen = *wire::seal(
      other, wire::Reservation{other.public_key(), sample.bid(), kStart, kStart + 5'000});
  EXPECT_EQ(check_confirmation(stolen, confirm(sample.icon, stolen.digest()), kStart).error().code,
            Code::kUnauthenticated);
}

TEST(RenewalTest, TheNextOneInTimeByItsOwner) {
  const SampleTenancy sample;
  const Party party{sample.provider.public_key(), sample.icon.public_key(), "lease-1", 0};
  const Times times{true, 0, kStart, kStart + 1'000'000, 100'000, 0};
  const auto asked = [&](const wire::Renewal& renewal) {
    return *wire::seal(sample.icon, renewal);
  };
  const auto good = asked(sample.renewal(1, 1'000));
  EXPECT_EQ(*check_renewal(party, times, good, kStart + 2'000), kStart + 1'500'000);
  EXPECT_EQ(check_renewal(party, times, good, kStart + 40'000).error().code, Code::kExpired)
      << "the request is too old";
  EXPECT_EQ(
      check_renewal(party, times, asked(sample.renewal(1, 900'000)), kStart + 900'000).error().code,
      Code::kExpired)
      << "the lease is too old";
  EXPECT_EQ(
      check_renewal(party, times, asked(sample.renewal(2, 1'000)), kStart + 2'000).error().code,
      Code::kConflict);
  auto foreign = party;
  foreign.lease_id = "lease-2";
  EXPECT_EQ(check_renewal(foreign, times, good, kStart + 2'000).error().code,
            Code::kUnauthenticated);
}

}  // namespace
}  // namespace icon::budget::lease
