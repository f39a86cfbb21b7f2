// The parts of migration/memory/ that touch no other process.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <numeric>
#include <random>

#include "migration/memory/forecast.h"
#include "migration/memory/image_memory.h"
#include "migration/memory/lazy_memory.h"
#include "migration/memory/page_store.h"
#include "migration/memory/pagemap_image.h"
#include "migration/move_stream.h"

namespace icon::migration {
namespace {

constexpr std::uint64_t kBase = 0x7f0000000000;
std::uint64_t page(std::uint64_t number) { return kBase + number * kPageBytes; }

std::vector<std::uint8_t> pages_of(std::uint8_t value, std::size_t count) {
  return std::vector<std::uint8_t>(count * kPageBytes, value);
}

TEST(MoveStream, AHeaderIsReadBack) {
  FrameHeader header;
  header.pid = 7;
  header.address = page(3);
  header.count = 256;
  const auto read = FrameHeader::decode(header.encode());
  ASSERT_TRUE(read);
  EXPECT_EQ(read->pid, 7u);
  EXPECT_EQ(read->address, page(3));
  EXPECT_EQ(read->count, 256u);
  FrameHeader end;
  end.kind = FrameHeader::Kind::kEnd;
  EXPECT_EQ(FrameHeader::decode(end.encode())->kind, FrameHeader::Kind::kEnd);
}

TEST(MoveStream, NonsenseIsRefused) {
  FrameHeader good;
  good.pid = 1;
  good.address = page(0);
  good.count = 1;
  const auto refused = [&](auto change) {
    FrameHeader bad = good;
    change(bad);
    const auto read = FrameHeader::decode(bad.encode());
    return !read && read.error().code == Code::kInvalid;
  };
  EXPECT_TRUE(refused([](FrameHeader& h) { h.count = 0; }));
  EXPECT_TRUE(refused([](FrameHeader& h) { h.count = kFramePagesMax + 1; }));
  EXPECT_TRUE(refused([](FrameHeader& h) { h.pid = 0; }));
  EXPECT_TRUE(refused([](FrameHeader& h) { h.pid = 1 << 30; }));
  EXPECT_TRUE(refused([](FrameHeader& h) { h.address += 8; }));
  EXPECT_TRUE(refused([](FrameHeader& h) { h.address = 1ull << 47; }));
  EXPECT_TRUE(refused([](FrameHeader& h) { h.address = (1ull << 47) - kPageBytes; }));
  EXPECT_TRUE(refused([](FrameHeader& h) { h.kind = static_cast<FrameHeader::Kind>(6); }));
  EXPECT_TRUE(refused([](FrameHeader& h) { h.kind = FrameHeader::Kind::kEnd; }));
}

std::string framed(FrameHeader::Kind kind, std::uint32_t count, std::string_view body = {}) {
  FrameHeader header;
  header.kind = kind;
  header.count = count;
  if (kind == FrameHeader::Kind::kPages) header.pid = 1;
  const auto raw = header.encode();
  return std::string(raw.begin(), raw.end()) + std::string(body);
}

// "kind:body" of each frame; '!' where the reader refused.
std::string read_in_steps(const std::string& stream, std::size_t step) {
  FrameReader reader;
  std::string seen;
  for (std::size_t at = 0; at < stream.size(); at += step) {
    std::span<const char> rest(stream.data() + at, std::min(step, stream.size() - at));
    for (;;) {
      const auto piece = reader.next(rest);
      if (!piece) return seen + "!";
      if (!*piece) break;
      if ((*piece)->begins) seen += std::to_string(static_cast<int>((*piece)->frame.kind)) + ":";
      seen.append((*piece)->bytes.data(), (*piece)->bytes.size());
      if ((*piece)->ends) seen += " ";
    }
  }
  return seen + (reader.is_complete() ? "." : "");
}

TEST(MoveStream, IsReadWhereverItIsCut) {
  using Kind = FrameHeader::Kind;
  const std::string page(kPageBytes, 'p');
  const std::string stream = framed(Kind::kPages, 1, page) + framed(Kind::kMark, 1) +
                             framed(Kind::kMark, 2) + framed(Kind::kEnd, 0) +
                             framed(Kind::kArchive, 3, "tar") + framed(Kind::kArchive, 1, "!") +
                             framed(Kind::kManifest, 2, "{}");
  const std::string expected = "1:" + page + " 3: 3: 2: 4:tar 4:! 5:{} .";
  for (const std::size_t step : {1ul, 2ul, 19ul, 20ul, 21ul, 4096ul, stream.size()})
    EXPECT_EQ(read_in_steps(stream, step), expected) << step;
  EXPECT_EQ(read_in_steps(framed(Kind::kArchive, 1, "x") + framed(Kind::kManifest, 1, "y"), 7),
            "4:x 5:y .");
}

TEST(MoveStream, HasAnOrder) {
  using Kind = FrameHeader::Kind;
  const std::string archive = framed(Kind::kArchive, 1, "x");
  const std::string mark = framed(Kind::kMark, 1);
  for (const auto& stream :
       {framed(Kind::kEnd, 0), framed(Kind::kManifest, 1, "x"), framed(Kind::kMark, 2), mark + mark,
        mark + archive, mark + framed(Kind::kManifest, 1, "x"), archive + framed(Kind::kEnd, 0),
        archive + mark, archive + framed(Kind::kManifest, 1, "x") + archive,
        archive + framed(Kind::kManifest, 1, "x") + framed(Kind::kManifest, 1, "x")}) {
    const auto seen = read_in_steps(stream, 64);
    EXPECT_TRUE(seen.ends_with('!')) << seen;
  }
  EXPECT_FALSE(read_in_steps(archive, 64).ends_with('.'));
}

TEST(Forecast, SaysWhatIsLeftAndHowLongThatTakes) {
  using Round = PageSource::Round;
  EXPECT_FALSE(forecast({}));
  // 1 GB at 250 MB/s; 8 MB changed in these 4 s, and travelled in 40 ms.
  const Round calm[] = {{1'000'000'000, Millis(4'000)}, {8'000'000, Millis(40)}};
  const auto seen = forecast(calm);
  ASSERT_TRUE(seen);
  EXPECT_EQ(seen->memory_bytes, 1'000'000'000u);
  EXPECT_EQ(seen->link_bytes_per_second, 250'000'000u);
  EXPECT_EQ(seen->change_bytes_per_second, 2'000'000u);
  EXPECT_EQ(seen->rest_bytes, 80'000u);
  EXPECT_EQ(seen->rest, Millis(0));
  EXPECT_TRUE(check_forecast(*seen, Millis(1)));
  // Changes as fast as the link carries.
  const Round restless[] = {{1'000'000'000, Millis(80'000)}, {990'000'000, Millis(79'000)}};
  const auto hopeless = forecast(restless);
  ASSERT_TRUE(hopeless);
  EXPECT_GT(hopeless->rest, Millis(70'000));
  const auto refused = check_forecast(*hopeless, Millis(10'000));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kRefused);
  EXPECT_NE(refused.error().message.find("the link carries 12.5 MB a second"), std::string::npos)
      << refused.error().message;
  // A gigabyte that cannot go ahead.
  const auto large = forecast(calm, 1'000'000'000);
  EXPECT_EQ(large->rest, Millis(4'000));
  EXPECT_EQ(large->rest_bytes, 80'000u);
  EXPECT_TRUE(check_forecast(*large, Millis(4'000)));
  const auto too_large = check_forecast(*large, Millis(3'999));
  ASSERT_FALSE(too_large);
  EXPECT_NE(too_large.error().message.find("1000.0 MB of it are shared or locked"),
            std::string::npos)
      << too_large.error().message;
  // One round says nothing of what changes: all of it may.
  const Round one[] = {{1'000'000, Millis(100)}};
  EXPECT_EQ(forecast(one)->rest_bytes, 1'000'000u);
  // Rounds of nothing, and of no time.
  const Round none[] = {{0, Micros(0)}, {0, Micros(0)}};
  EXPECT_EQ(forecast(none)->rest, Millis(0));
}

TEST(ImageMemory, IsSharedOrLocked) {
  const auto rollup = [](const std::string& shared, const std::string& locked) {
    return "1-2 ---p 00000000 00:00 0   [rollup]\nRss:   9 kB\nPss_Shmem:  " + shared +
           "\nLocked:  " + locked + "\n";
  };
  EXPECT_EQ(image_memory_of(rollup("1024 kB", "0 kB")).value(), 1u << 20);
  EXPECT_EQ(image_memory_of(rollup("4 kB", "8 kB")).value(), 8u << 10) << "it may be both";
  for (const auto& text : {std::string(), std::string("Pss_Shmem: 1 kB\n"), rollup("x kB", "0 kB"),
                           rollup("0 kB", ""), rollup("99999999999999999999 kB", "0 kB")})
    EXPECT_EQ(image_memory_of(text).error().code, Code::kInvalid) << text;
  EXPECT_TRUE(image_memory(std::vector<int>{getpid()}));
  EXPECT_EQ(image_memory(std::vector<int>{1 << 30}).value(), 0u) << "nobody";
}

TEST(PageStore, KeepsTheLatestOfEveryPage) {
  PageStore store(1 << 20);
  EXPECT_TRUE(store.find(1, page(0), 8).empty());
  ASSERT_TRUE(store.put(1, page(0), pages_of('a', 4)));
  ASSERT_TRUE(store.put(2, page(0), pages_of('b', 1)));
  ASSERT_TRUE(store.put(1, page(2), pages_of('c', 4)));  // two again, two new
  EXPECT_EQ(store.pages(), 7u);
  EXPECT_EQ(store.find(1, page(0), 8)[0], 'a');
  EXPECT_EQ(store.find(1, page(2), 8)[0], 'c');
  EXPECT_EQ(store.find(1, page(5), 8)[0], 'c');
  EXPECT_EQ(store.find(2, page(0), 8)[0], 'b');
  EXPECT_TRUE(store.find(2, page(1), 8).empty());
  EXPECT_EQ(store.find(1, page(0), 4).size(), 4 * kPageBytes);  // they lie in one piece
  EXPECT_EQ(store.find(1, page(1), 2).size(), 2 * kPageBytes);
  ASSERT_EQ(store.recent().size(), 1u);
  EXPECT_EQ(store.recent()[0].range, (MemoryRange{page(2), page(6)}));
}

TEST(PageStore, HasALimit) {
  PageStore store(4 * kPageBytes);
  ASSERT_TRUE(store.put(1, page(0), pages_of('a', 4)));
  ASSERT_TRUE(store.put(1, page(0), pages_of('b', 4)));  // no more than before
  EXPECT_EQ(store.put(1, page(4), pages_of('c', 1)).error().code, Code::kLimit);
}

// Against a plain array of what belongs where.
TEST(LazyMemory, AgreesWithAnArray) {
  constexpr std::uint64_t kPages = 64;
  std::mt19937 random(7);
  const auto any = [&](std::uint64_t below) { return random() % below; };
  for (int run = 0; run < 200; ++run) {
    std::vector<std::uint64_t> model(kPages, 0);  // origin, 0: none
    std::vector<MemoryRange> ranges;
    for (std::uint64_t at = any(4); at < kPages;) {
      const std::uint64_t end = std::min(kPages, at + 1 + any(10));
      ranges.push_back({page(at), page(end)});
      for (; at < end; ++at) model[at] = page(at);
      at += 1 + any(6);
    }
    LazyMemory memory(ranges);
    for (int step = 0; step < 30; ++step) {
      const std::uint64_t from = any(kPages);
      const std::uint64_t count = 1 + any(kPages - from);
      if (any(2) == 0) {
        memory.remove({page(from), page(from + count)});
        std::fill_n(model.begin() + static_cast<long>(from), count, 0);
      } else {
        const std::uint64_t to = any(kPages - count + 1);
        if (to < from + count && from < to + count) continue;  // mremap(2) refuses it, too
        memory.move(page(from), page(to), count * kPageBytes);
        for (std::uint64_t i = 0; i < count; ++i) model[to + i] = std::exchange(model[from + i], 0);
      }
      for (std::uint64_t at = 0; at < kPages; ++at) {
        const auto piece = memory.at(page(at));
        ASSERT_EQ(piece ? piece->origin : 0, model[at]) << "page " << at;
      }
      ASSERT_EQ(memory.empty(), std::accumulate(model.begin(), model.end(), std::uint64_t{0}) == 0);
    }
  }
}

// Images as CRIU writes them.
class Image {
 public:
  Image() {
    fixed(0x54564319);
    fixed(0x56084025);
    message({0x08, 0x01});
  }
  Image& entry(std::uint64_t address, std::uint64_t pages, std::uint64_t flags) {
    std::vector<std::uint8_t> body{0x08};
    varint(body, address);
    body.push_back(0x10);
    varint(body, 0);
    body.push_back(0x20);
    varint(body, flags);
    body.push_back(0x28);
    varint(body, pages);
    message(body);
    return *this;
  }
  const std::vector<std::uint8_t>& bytes() const { return bytes_; }

 private:
  void fixed(std::uint32_t value) {
    for (int i = 0; i < 4; ++i) bytes_.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
  }
  static void varint(std::vector<std::uint8_t>& out, std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) out.push_back(static_cast<std::uint8_t>(value | 0x80));
    out.push_back(static_cast<std::uint8_t>(value));
  }
  void message(const std::vector<std::uint8_t>& body) {
    fixed(static_cast<std::uint32_t>(body.size()));
    bytes_.insert(bytes_.end(), body.begin(), body.end());
  }
  std::vector<std::uint8_t> bytes_;
};

constexpr std::uint64_t kLazy = 2;
constexpr std::uint64_t kPresent = 4;

TEST(PagemapImage, NamesWhatIsNotInTheImages) {
  Image image;
  image.entry(page(0), 2, kLazy).entry(page(2), 1, kLazy).entry(page(4), 3, kPresent);
  image.entry(page(9), 1, kLazy | kPresent).entry(page(12), 5, kLazy);
  const auto ranges = lazy_ranges(image.bytes());
  ASSERT_TRUE(ranges);
  EXPECT_EQ(*ranges, (std::vector<MemoryRange>{{page(0), page(3)}, {page(12), page(17)}}));
}

TEST(PagemapImage, AStrangersNumbersAreChecked) {
  const auto refused = [](const Image& image) { return !lazy_ranges(image.bytes()).has_value(); };
  EXPECT_TRUE(refused(Image().entry(page(4), 2, kLazy).entry(page(5), 1, kLazy)));  // overlap
  EXPECT_TRUE(refused(Image().entry(page(4), 0, kLazy)));
  EXPECT_TRUE(refused(Image().entry(page(4) + 1, 1, kLazy)));
  EXPECT_TRUE(refused(Image().entry(1ull << 47, 1, kLazy)));
  EXPECT_TRUE(refused(Image().entry(page(0), UINT64_MAX / kPageBytes + 2, kLazy)));
  Image whole;
  whole.entry(page(0), 2, kLazy);
  auto bytes = whole.bytes();
  EXPECT_FALSE(lazy_ranges(std::span(bytes).first(7)));
  for (std::size_t size = 15; size < bytes.size(); ++size)
    EXPECT_FALSE(lazy_ranges(std::span(bytes).first(size))) << size;
  bytes[0] ^= 1;
  EXPECT_FALSE(lazy_ranges(bytes));
}

}  // namespace
}  // namespace icon::migration
