// What every test of a whole world does: bring it up, tell all logs when something was wrong, take
// it down, and look that nothing is left.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <iostream>
#include <optional>
#include <string>

#include "base/file.h"
#include "lab/demo_world.h"
#include "lab/remains.h"
#include "tests/eventually.h"

namespace icon::lab {

class WorldTest : public ::testing::Test {
 protected:
  // `prefix`: two letters of the lab's name. With a supervisor on every provider's host.
  void bring_up(const std::string& prefix, DemoWorldOptions options) {
    options.lab_name = prefix + std::to_string(getpid());
    if (options.criu.empty()) options.criu = ICON_CRIU;
    auto world = DemoWorld::create(std::move(options));
    ASSERT_TRUE(world) << world.error().message;
    world_.emplace(std::move(*world));
    const auto started = world_->start_supervisors([] { return Status{}; });
    ASSERT_TRUE(started) << started.error().message;
  }

  void TearDown() override {
    if (!world_) return;
    const std::string name = world_->lab().name();
    if (HasFailure()) tell_logs();
    EXPECT_TRUE(world_->down());
    world_.reset();
    EXPECT_EQ(scan_lab(name).describe(), "");
  }

  void tell_logs() const {
    for (const auto& host : world_->hosts()) {
      std::cerr << "--- log of " << host << "\n"
                << read_file(world_->log_file(host), 1 << 20).value_or("") << "\n";
      std::error_code error;
      const std::string icons = world_->lab().host_directory(host) + "/state/icons";
      for (const auto& icon : std::filesystem::directory_iterator(icons, error))
        std::cerr << "--- the agent at " << host << "\n"
                  << read_file(icon.path().string() + "/run/log/agent.log", 1 << 20).value_or("")
                  << "\n";
    }
  }

  Address address(const std::string& node) const { return world_->lab().address(node).value(); }

  // What the supervisor of `host` says of an ICON; empty when there is none.
  json::Object icon_at(const std::string& host, const std::string& name) const {
    const auto body = world_->get(host, "/v1/icons/" + name);
    return body ? *body : json::Object{};
  }
  // What its agent said last.
  json::Object status_of(const std::string& host, const std::string& name) const {
    const auto icon = icon_at(host, name);
    const auto* status = icon.if_contains("status");
    return status != nullptr && status->is_object() ? status->as_object() : json::Object{};
  }
  std::string run_dir(const std::string& host, const std::string& id) const {
    return world_->lab().host_directory(host) + "/state/icons/" + id + "/run";
  }

  std::optional<DemoWorld> world_;
};

}  // namespace icon::lab
