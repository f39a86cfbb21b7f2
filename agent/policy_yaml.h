// What reading a policy needs of YAML and of typing errors.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace icon::agent {

struct DocumentCount {
  int documents = 0;  // 2 stands for "more than one"
  int last_line = 0;  // where the last one begins, from 1
};
// Throws YAML::Exception for what is no YAML.
DocumentCount count_documents(const std::string& yaml);

// The known key that a typing error is nearest to; empty when none is near.
std::string_view nearest_key(std::string_view key, const std::vector<std::string_view>& known);

}  // namespace icon::agent
