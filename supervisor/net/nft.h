// nftables in this process (libnftables): one text is one transaction, about 0.2 ms for a few
// elements. Works in the namespace it was opened in. One thread.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"

struct nft_ctx;

namespace icon::net {

class Nft {
 public:
  static Result<Nft> open();
  // All or nothing. Errors: kIo with nft's own words.
  Status run(const std::string& script);
  // Errors: kNotFound when there is no such object.
  Result<std::string> list_json(const std::string& what);

 private:
  struct Close {
    void operator()(nft_ctx* context) const;
  };
  explicit Nft(nft_ctx* context) : context_(context) {}
  std::unique_ptr<nft_ctx, Close> context_;
};

}  // namespace icon::net
