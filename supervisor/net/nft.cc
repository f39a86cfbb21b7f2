#include "supervisor/net/nft.h"

#include <nftables/libnftables.h>

#include <cerrno>

namespace icon::net {

void Nft::Close::operator()(nft_ctx* context) const { nft_ctx_free(context); }

Result<Nft> Nft::open() {
  nft_ctx* context = nft_ctx_new(NFT_CTX_DEFAULT);
  if (context == nullptr) return fail(Code::kIo, "nftables: cannot open its netlink socket");
  Nft nft(context);
  // Both streams into memory: nothing of it is for our standard output.
  if (nft_ctx_buffer_output(context) != 0 || nft_ctx_buffer_error(context) != 0)
    return fail(Code::kIo, "nftables: cannot buffer its output");
  return nft;
}

Status Nft::run(const std::string& script) {
  if (nft_run_cmd_from_buffer(context_.get(), script.c_str()) == 0) {
    (void)nft_ctx_get_output_buffer(context_.get());
    return {};
  }
  return fail(Code::kIo, std::string("nftables: ") + nft_ctx_get_error_buffer(context_.get()));
}

Result<std::string> Nft::list_json(const std::string& what) {
  nft_ctx_output_set_flags(context_.get(), NFT_CTX_OUTPUT_JSON | NFT_CTX_OUTPUT_NUMERIC_ALL);
  const int status = nft_run_cmd_from_buffer(context_.get(), ("list " + what).c_str());
  std::string text = nft_ctx_get_output_buffer(context_.get());
  nft_ctx_output_set_flags(context_.get(), 0);
  if (status == 0) return text;
  const std::string message = nft_ctx_get_error_buffer(context_.get());
  const bool absent = message.find("No such file or directory") != std::string::npos;
  return fail(absent ? Code::kNotFound : Code::kIo, "nftables: list " + what + ": " + message);
}

}  // namespace icon::net
