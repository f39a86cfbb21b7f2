#include "lab/mounts.h"

#include <gtest/gtest.h>

namespace icon::lab {
namespace {

constexpr const char* kMountInfo =
    "22 1 254:1 / / rw,relatime - ext4 /dev/vda rw\n"
    "30 22 0:25 / /run/icon-lab/demo/hosts/a\\040b rw shared:3 - tmpfs none rw\n"
    "31 22 0:26 /x /run/netns/icon-demo-t1 rw - nsfs nsfs rw\n";

TEST(Mounts, AreReadWithTheirBlanks) {
  const auto points = parse_mount_points(kMountInfo);
  ASSERT_EQ(points.size(), 3u);
  EXPECT_EQ(points[1], "/run/icon-lab/demo/hosts/a b");
}

TEST(Mounts, TheRootTellsAContainer) {
  EXPECT_EQ(parse_root_mount(kMountInfo).find("icon-lab"), std::string::npos);
  EXPECT_NE(parse_root_mount("9 1 0:3 / / rw - overlay overlay "
                             "rw,lowerdir=/run/icon-lab/demo/hosts/o/rootfs\n")
                .find("/icon-lab/demo/"),
            std::string::npos);
  EXPECT_EQ(parse_root_mount(""), "");
}

}  // namespace
}  // namespace icon::lab
