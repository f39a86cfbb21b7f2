// A whole life on the real kernel: users of two networks pull apart, a replica appears near those
// whom no single place serves together with the others, demand vanishes, the replica ends, and its
// last user is back at the parent. The world is drawn in life_world.h.
#include <iostream>

#include "tests/lab/life_world.h"
#include "tests/lab/proved_ledger.h"

namespace icon::lab {
namespace {

TEST_F(LifeTest, AReplicaComesWithItsUsersAndGoesWithThem) {
  const auto id = std::string(life_at("origin").at("id").as_string());
  Group near_a(world_->lab(), "users-a", address("origin"));
  Group near_b(world_->lab(), "users-b", address("origin"));

  // The first group is most of all: the ICON moves to it. The second one stays far, wherever it is.
  ASSERT_TRUE(eventually([&] { return near_a.rtts_at(served_at("edge-a")).size() >= 8; }))
      << near_a.told();
  ASSERT_TRUE(eventually([&] { return near_b.rtts_at(served_at("edge-b")).size() >= 16; }))
      << near_b.told();
  EXPECT_EQ(state_at("edge-a"), "running");
  const auto before_a = median(near_a.rtts_at(served_at("origin")));
  const auto before_b = median(near_b.rtts_at(served_at("origin")));
  near_a.forget();
  near_b.forget();
  ASSERT_TRUE(eventually([&] {
    return near_a.rtts_at(served_at("edge-a")).size() >= 16 &&
           near_b.rtts_at(served_at("edge-b")).size() >= 16;
  }));
  const auto after_a = median(near_a.rtts_at(served_at("edge-a")));
  const auto after_b = median(near_b.rtts_at(served_at("edge-b")));
  std::cout << "median RTT in us: users-a " << before_a << " -> " << after_a << ", users-b "
            << before_b << " -> " << after_b << "\n";
  EXPECT_LT(2 * after_a, before_a);
  EXPECT_LT(2 * after_b, before_b);

  // The replica has its share, and `icon explain` the reason.
  const auto replica = life_at("edge-b");
  const auto child_id = std::string(replica.at("id").as_string());
  EXPECT_NE(child_id, id);
  ASSERT_TRUE(eventually([&] {
    const auto child = child_at("edge-a");
    return child.contains("left_ucredits") && child.at("left_ucredits").as_int64() > 0 &&
           child.at("connections").as_int64() > 0;
  }));
  const auto explained = world_->run_icon("edge-a", {"explain", "life", "-o", "json"});
  ASSERT_TRUE(explained) << explained.error().message;
  EXPECT_NE(explained->find("\"replicate\""), std::string::npos) << *explained;

  // Demand vanishes but for one user, who alone is not worth a slot.
  near_b.keep(1);
  ASSERT_TRUE(eventually([&] { return state_at("edge-b") == "stopped"; })) << state_at("edge-b");
  near_b.forget();
  ASSERT_TRUE(eventually([&] { return near_b.rtts_at(served_at("edge-a")).size() >= 2; }))
      << near_b.told();
  EXPECT_TRUE(near_b.rtts_at(served_at("edge-b")).empty()) << near_b.told();

  // Money: two slots were paid for, nothing is held, and the share is back, and so is what the
  // replica has not used of its slot.
  ASSERT_TRUE(eventually([&] { return child_at("edge-a").at("state").as_string() == "ended"; }));
  ASSERT_TRUE(eventually([&] { return charged_at("edge-b") > 0; }));
  const auto spent = kPriceUcredits + charged_at("edge-b");
  EXPECT_LT(spent, 2 * kPriceUcredits);
  ASSERT_TRUE(eventually([&] {
    return status_at("edge-a").at("purse").as_object().at("spent_ucredits").as_int64() == spent;
  }));
  const auto purse = status_at("edge-a").at("purse").as_object();
  EXPECT_EQ(purse.at("held_ucredits").as_int64(), 0);
  EXPECT_EQ(purse.at("shared_ucredits").as_int64(), 0);
  EXPECT_GT(child_at("edge-a").at("share_ucredits").as_int64(), 0);

  // Slots: the replica's is over and free again, the parent's is held.
  const auto free_at = [&](const std::string& host) {
    const auto status = world_->get(host, "/v1/status");
    return status && status->at("free") == status->at("capacity");
  };
  EXPECT_TRUE(eventually([&] { return free_at("edge-b"); }));
  EXPECT_FALSE(free_at("edge-a"));

  // Ledgers.
  auto told = proved_ledger(run_dir("edge-a", id));
  EXPECT_EQ(told["birth"], 1);
  EXPECT_EQ(told["replica"], 1);
  EXPECT_EQ(told["share"], 1);
  EXPECT_EQ(told["share_return"], 1);
  EXPECT_EQ(told["move"], 1);
  auto childs = proved_ledger(run_dir("edge-b", child_id));
  EXPECT_EQ(childs["share"], 1);
  EXPECT_EQ(childs["share_return"], 1);
}

}  // namespace
}  // namespace icon::lab
