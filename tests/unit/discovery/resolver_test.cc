#include "discovery/resolver.h"

#include <gtest/gtest.h>

#include "tests/unit/discovery/fake_resolver.h"
#include "tests/unit/discovery/run_task.h"

namespace icon::discovery {
namespace {

class CachingResolverTest : public ::testing::Test {
 protected:
  int asked(const std::string& name) { return inner_.asked[{name, RecordType::kA}]; }
  Result<Answer> query(CachingResolver& cache, const std::string& name) {
    return run_task(cache.a(name));
  }
  void add(const std::string& name, std::uint32_t ttl_s) {
    inner_.at(name, RecordType::kA, ttl_s).addresses = {*Address::parse("192.0.2.1")};
  }

  FakeResolver inner_;
  FakeClock clock_;
};

TEST_F(CachingResolverTest, KeepsForTheTtlAndNoLonger) {
  CachingResolver cache(inner_, clock_, {});
  add("a.example", 60);
  EXPECT_EQ(query(cache, "a.example")->addresses.size(), 1u);
  clock_.advance(Millis(59'999));
  EXPECT_EQ(query(cache, "A.Example.")->addresses.size(), 1u);
  EXPECT_EQ(asked("a.example"), 1);
  EXPECT_EQ(cache.hits(), 1u);
  clock_.advance(Millis(1));
  EXPECT_TRUE(query(cache, "a.example"));
  EXPECT_EQ(asked("a.example"), 2);
  EXPECT_EQ(cache.size(), 1u);
}

TEST_F(CachingResolverTest, ClampsTtls) {
  CachingResolver cache(inner_, clock_, {.ttl_s_min = 5, .ttl_s_max = 100});
  add("short.example", 0);
  add("long.example", 0x7fffffff);
  (void)query(cache, "short.example");
  (void)query(cache, "long.example");
  clock_.advance(Millis(4'999));
  (void)query(cache, "short.example");
  EXPECT_EQ(asked("short.example"), 1);
  clock_.advance(Millis(95'002));
  (void)query(cache, "long.example");
  EXPECT_EQ(asked("long.example"), 2);
}

TEST_F(CachingResolverTest, EmptyAnswersAreKeptShorter) {
  CachingResolver cache(inner_, clock_, {.negative_ttl_s_max = 30});
  inner_.at("none.example", RecordType::kA, 100'000);
  (void)query(cache, "none.example");
  (void)query(cache, "none.example");
  EXPECT_EQ(asked("none.example"), 1);
  clock_.advance(Millis(30'000));
  (void)query(cache, "none.example");
  EXPECT_EQ(asked("none.example"), 2);
}

TEST_F(CachingResolverTest, FailuresAreNotKept) {
  CachingResolver cache(inner_, clock_, {});
  inner_.errors[{"a.example", RecordType::kA}] = {Code::kTimeout, "no answer"};
  EXPECT_EQ(query(cache, "a.example").error().code, Code::kTimeout);
  inner_.errors.clear();
  add("a.example", 60);
  EXPECT_TRUE(query(cache, "a.example"));
}

TEST_F(CachingResolverTest, TypesAreApart) {
  CachingResolver cache(inner_, clock_, {});
  add("a.example", 60);
  EXPECT_FALSE(query(cache, "a.example")->empty());
  EXPECT_TRUE(run_task(cache.txt("a.example"))->empty());
}

TEST_F(CachingResolverTest, BytesAreBounded) {
  CachingResolver cache(inner_, clock_, {.bytes_max = 20'000});
  for (int i = 0; i < 50; ++i) {
    const auto name = "n" + std::to_string(i) + ".example";
    inner_.at(name, RecordType::kTxt).texts = {std::string(4'000, 'x')};
    (void)run_task(cache.txt(name));
    EXPECT_LE(cache.bytes(), 20'000u);
  }
  EXPECT_EQ(cache.size(), 4u);
}

TEST_F(CachingResolverTest, LeastRecentlyUsedGoesFirst) {
  CachingResolver cache(inner_, clock_, {.entries_max = 2});
  for (const char* name : {"a.example", "b.example"}) {
    add(name, 60);
    (void)query(cache, name);
  }
  (void)query(cache, "a.example");
  add("c.example", 60);
  (void)query(cache, "c.example");
  EXPECT_EQ(cache.size(), 2u);
  (void)query(cache, "a.example");
  EXPECT_EQ(asked("a.example"), 1);
  (void)query(cache, "b.example");
  EXPECT_EQ(asked("b.example"), 2);
}

TEST_F(CachingResolverTest, OddNamesAskNobody) {
  CachingResolver cache(inner_, clock_, {});
  EXPECT_EQ(query(cache, "a b").error().code, Code::kInvalid);
  EXPECT_TRUE(inner_.asked.empty());
}

TEST_F(CachingResolverTest, PassesBudgetAndCloseOn) {
  CachingResolver cache(inner_, clock_, {});
  cache.start_budget(Millis(77));
  cache.close();
  EXPECT_EQ(inner_.last_budget, Millis(77));
  EXPECT_EQ(inner_.closed, 1);
}

}  // namespace
}  // namespace icon::discovery
