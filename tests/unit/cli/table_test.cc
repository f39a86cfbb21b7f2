#include "cli/table.h"

#include <gtest/gtest.h>

namespace icon::cli {
namespace {

TEST(Table, AlignsColumns) {
  Table table({{"NAME"}, {"BYTES", Table::Align::kRight}, {"WHY"}});
  table.add({std::string("redis"), std::string("64.0 MB"), std::string("latency")});
  table.add({std::string("a-longer-name"), std::string("1 B"), std::string("-")});
  EXPECT_EQ(table.render(false),
            "NAME             BYTES  WHY\n"
            "redis          64.0 MB  latency\n"
            "a-longer-name      1 B  -\n");
}

TEST(Table, CountsCharactersNotBytes) {
  Table table({{"A"}, {"B"}});
  table.add({std::string("Z\xc3\xbcrich"), std::string("x")});
  table.add({std::string("Berlin"), std::string("y")});
  EXPECT_EQ(table.render(false), "A       B\nZ\xc3\xbcrich  x\nBerlin  y\n");
}

TEST(Table, ColourChangesNoWidths) {
  Table table({{"S"}, {"B"}});
  table.add({{"ok", Colour::kGreen}, std::string("x")});
  EXPECT_EQ(table.render(true), "\033[1mS\033[0m   \033[1mB\033[0m\n\033[32mok\033[0m  x\n");
}

TEST(Table, StatesHaveColours) {
  EXPECT_EQ(colour_of_state("running"), Colour::kGreen);
  EXPECT_EQ(colour_of_state("rolled_back"), Colour::kRed);
  EXPECT_EQ(colour_of_state("migrating"), Colour::kYellow);
  EXPECT_EQ(colour_of_state("stopped"), Colour::kNone);
  EXPECT_EQ(coloured("x", Colour::kRed, false), "x");
}

}  // namespace
}  // namespace icon::cli
