#include "base/result.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <memory>

namespace icon {
namespace {

Result<int> half(int number) {
  if (number % 2 != 0) return fail(Code::kInvalid, "odd");
  return number / 2;
}

Result<int> quarter(int number) {
  ICON_TRY(const int first, half(number));
  ICON_TRY(const int second, half(first));
  return second;
}

Status check(int number) {
  ICON_CHECK(number > 0 ? Status() : fail(Code::kLimit, "small"));
  return {};
}

Result<std::unique_ptr<int>> boxed(int number) {
  ICON_TRY(auto box, Result<std::unique_ptr<int>>(std::make_unique<int>(number)));
  return box;
}

TEST(Result, TryPassesErrorsOn) {
  EXPECT_EQ(*quarter(12), 3);
  EXPECT_EQ(quarter(6).error().message, "odd");
  EXPECT_TRUE(check(1));
  EXPECT_EQ(check(0).error().code, Code::kLimit);
  EXPECT_EQ(**boxed(4), 4);
}

TEST(Result, CodesHaveStableNames) {
  for (const auto code : {Code::kInvalid, Code::kNotFound, Code::kTimeout, Code::kIo,
                          Code::kRefused, Code::kUnauthenticated, Code::kExpired, Code::kConflict,
                          Code::kLimit, Code::kUnavailable, Code::kCancelled, Code::kInternal})
    EXPECT_EQ(code_from_string(to_string(code)), code);
  EXPECT_EQ(to_string(Code::kNotFound), "not_found");
  EXPECT_EQ(code_from_string("teapot"), Code::kInternal);
}

TEST(Result, ErrnoBecomesACode) {
  EXPECT_EQ(fail_errno("x", ENOENT).value().code, Code::kNotFound);
  EXPECT_EQ(fail_errno("x", ESRCH).value().code, Code::kNotFound);
  EXPECT_EQ(fail_errno("x", EPERM).value().code, Code::kRefused);
  EXPECT_EQ(fail_errno("x", EACCES).value().code, Code::kRefused);
  EXPECT_EQ(fail_errno("x", ETIMEDOUT).value().code, Code::kTimeout);
  EXPECT_EQ(fail_errno("x", EIO).value().code, Code::kIo);
  errno = ENOENT;
  EXPECT_EQ(fail_errno("open f").value().message, "open f: No such file or directory");
}

}  // namespace
}  // namespace icon
