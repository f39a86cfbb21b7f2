#include "lab/relay_message.h"

#include <gtest/gtest.h>

namespace icon::lab {
namespace {

TEST(RelayMessage, StartFileGoesBothWays) {
  RelayStart start{"/run/x/relay.sock", {}};
  start.links.push_back(
      {"far", {"icon-x-a", "e0"}, {"icon-x-b", "e1"}, {12.5, 0.25, 100, 0.1}, false});
  const auto read = RelayStart::from_text(start.to_text());
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->socket_path, start.socket_path);
  ASSERT_EQ(read->links.size(), 1u);
  EXPECT_EQ(read->links[0].shape, start.links[0].shape);
  EXPECT_EQ(read->links[0].b.interface, "e1");
  EXPECT_FALSE(read->links[0].up);
}

TEST(RelayMessage, RefusesWhatIsOutOfRange) {
  json::Object object;
  shape_to_json({.delay_ms = 1}, object);
  EXPECT_TRUE(shape_from_json(object));
  object["loss_ppm"] = 1'000'001;
  EXPECT_FALSE(shape_from_json(object));
  object.erase("loss_ppm");
  EXPECT_FALSE(shape_from_json(object));
  EXPECT_FALSE(RelayStart::from_text("{}"));
  EXPECT_FALSE(RelayStart::from_text(R"({"socket":"/x","links":[1]})"));
  EXPECT_FALSE(RelayStart::from_text("not json"));
}

}  // namespace
}  // namespace icon::lab
