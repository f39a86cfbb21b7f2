#include "cli/documents_file.h"

#include <fmt/format.h>

#include "base/file.h"

namespace icon::cli {
namespace {

constexpr std::size_t kDocumentsFileBytesMax = 512 << 20;

}  // namespace

Outcome<std::vector<wire::Envelope>> read_documents(const std::vector<std::string>& files) {
  std::vector<wire::Envelope> documents;
  for (const auto& file : files) {
    const auto text = read_file(file, kDocumentsFileBytesMax);
    if (!text) return failure(text.error());
    int number = 0;
    for (std::size_t begin = 0; begin < text->size();) {
      const auto end = std::min(text->find('\n', begin), text->size());
      const auto line = std::string_view(*text).substr(begin, end - begin);
      begin = end + 1;
      ++number;
      if (line.empty()) continue;
      auto envelope = wire::parse_envelope(line);
      if (!envelope)
        return failure(kUsage,
                       fmt::format("{}, line {}: {}", file, number, envelope.error().message));
      documents.push_back(std::move(*envelope));
    }
  }
  return documents;
}

}  // namespace icon::cli
