#include "wire/ping.h"

#include <gtest/gtest.h>

namespace icon::wire {
namespace {

TEST(Ping, KeepsToItsLimits) {
  const KeyPair icon = KeyPair::generate();
  const KeyPair provider = KeyPair::generate();
  PingRequest request;
  request.icon = icon.public_key();
  request.provider = provider.public_key();
  request.targets = {*Address::parse("192.0.2.1"), *Address::parse("2001:db8::1")};
  request.nonce = "n";
  request.issued_ms = 1;
  request.expires_ms = 2;
  EXPECT_EQ(open<PingRequest>(*seal(icon, request))->to_json(), request.to_json());
  EXPECT_FALSE(open<PingRequest>(*seal(provider, request)));
  auto twice = request;
  twice.targets.push_back(twice.targets.front());
  EXPECT_FALSE(PingRequest::from_json(twice.to_json()));
  auto many = request;
  for (std::uint32_t i = 0; i < kPingTargetsMax; ++i) many.targets.push_back(Address::v4(i));
  EXPECT_FALSE(PingRequest::from_json(many.to_json()));
  request.targets.clear();
  EXPECT_FALSE(PingRequest::from_json(request.to_json()));

  PingReport report;
  report.provider = provider.public_key();
  report.request_digest = std::string(64, 'a');
  report.figures = {
      {*Address::parse("192.0.2.1"), 12'000, 3, ""},
      {*Address::parse("192.0.2.2"), std::nullopt, 0, "its network was pinged enough"}};
  report.issued_ms = 1;
  report.expires_ms = 2;
  EXPECT_EQ(open<PingReport>(*seal(provider, report))->to_json(), report.to_json());
  report.figures[1].refused = "\x1b[2J";
  EXPECT_FALSE(PingReport::from_json(report.to_json()));
  report.figures[1].refused = "";
  report.figures[0].rtt_us = kPingRttUsMax + 1;
  EXPECT_FALSE(PingReport::from_json(report.to_json()));
}

}  // namespace
}  // namespace icon::wire
