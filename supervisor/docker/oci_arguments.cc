#include "supervisor/docker/oci_arguments.h"

#include <algorithm>
#include <array>

namespace icon::supervisor {
namespace {

// Global options, runc's and ours, that take a value as a word of its own.
constexpr std::array kWithValue{"--root", "--log",      "--log-format",
                                "--criu", "--rootless", "--icon-socket"};

std::string find_option(const std::vector<std::string>& words, const std::string& name) {
  std::string value;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i] == name && i + 1 < words.size()) value = words[i + 1];
    if (words[i].starts_with(name + "=")) value = words[i].substr(name.size() + 1);
  }
  return value;
}

}  // namespace

OciArguments parse_oci_arguments(const std::vector<std::string>& arguments) {
  OciArguments parsed;
  std::size_t i = 0;
  for (; i < arguments.size() && arguments[i].starts_with("-"); ++i) {
    parsed.global.push_back(arguments[i]);
    if (std::find(kWithValue.begin(), kWithValue.end(), arguments[i]) != kWithValue.end() &&
        i + 1 < arguments.size())
      parsed.global.push_back(arguments[++i]);
  }
  if (i == arguments.size()) return parsed;
  parsed.command = arguments[i];
  parsed.rest.assign(arguments.begin() + static_cast<std::ptrdiff_t>(i) + 1, arguments.end());
  return parsed;
}

std::string OciArguments::global_option(const std::string& name) const {
  return find_option(global, name);
}

std::string OciArguments::option(const std::string& name) const { return find_option(rest, name); }

void OciArguments::set_option(const std::string& name, const std::string& value) {
  for (std::size_t i = 0; i < rest.size(); ++i) {
    if (rest[i] == name && i + 1 < rest.size()) rest[i + 1] = value;
    if (rest[i].starts_with(name + "=")) rest[i] = name + "=" + value;
  }
}

void OciArguments::drop_flag(const std::string& name) { std::erase(global, name); }

void OciArguments::drop_option(const std::string& name) {
  for (auto word = global.begin(); word != global.end();) {
    if (*word == name && word + 1 != global.end())
      word = global.erase(word, word + 2);
    else if (word->starts_with(name + "="))
      word = global.erase(word);
    else
      ++word;
  }
}

std::vector<std::string> OciArguments::all() const {
  std::vector<std::string> words = global;
  if (!command.empty()) words.push_back(command);
  words.insert(words.end(), rest.begin(), rest.end());
  return words;
}

}  // namespace icon::supervisor
