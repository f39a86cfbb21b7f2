#include "cli/completion.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <string>
#include <vector>

namespace icon::cli {
namespace {

struct Word {
  std::string text;
  std::string description;
};

struct Node {
  std::string path;  // "/lab/up"; "" for the root
  std::vector<Word> subcommands;
  std::vector<Word> options;
  bool takes_icon = false;  // its first argument is an ICON's name
};

std::string first_sentence(std::string text) {
  for (const char* end : {". ", ";", "\n"}) text = text.substr(0, text.find(end));
  // In single quotes in every shell.
  std::replace(text.begin(), text.end(), '\'', '`');
  return text;
}

void collect(const CLI::App& app, const std::string& path, std::vector<Node>& nodes) {
  Node node;
  node.path = path;
  for (const auto* option : app.get_options()) {
    if (option->get_positional()) {
      node.takes_icon = node.takes_icon || option->get_name() == "icon";
      continue;
    }
    for (const auto& name : option->get_lnames())
      node.options.push_back({"--" + name, first_sentence(option->get_description())});
    for (const auto& name : option->get_snames())
      node.options.push_back({"-" + name, first_sentence(option->get_description())});
  }
  const auto visible = [](const CLI::App* sub) {
    return !sub->get_name().empty() && !sub->get_group().empty();
  };
  for (const auto* sub : app.get_subcommands(visible))
    node.subcommands.push_back({sub->get_name(), first_sentence(sub->get_description())});
  nodes.push_back(std::move(node));
  for (const auto* sub : app.get_subcommands(visible))
    collect(*sub, path + '/' + sub->get_name(), nodes);
}

std::string joined(const std::vector<Word>& words) {
  std::string text;
  for (const auto& word : words) text += (text.empty() ? "" : " ") + word.text;
  return text;
}

// Shared by bash and zsh: which command the words so far lead to.
std::string path_cases(const std::vector<Node>& nodes) {
  std::string text;
  for (const auto& node : nodes)
    if (!node.path.empty()) text += (text.empty() ? "" : "|") + node.path;
  return text;
}

std::string word_cases(const std::vector<Node>& nodes) {
  std::string text;
  for (const auto& node : nodes) {
    text += "    '" + node.path + "') subcommands='" + joined(node.subcommands) + "' options='" +
            joined(node.options) + "'" + (node.takes_icon ? " icons=1" : "") + " ;;\n";
  }
  return text;
}

std::string bash_script(const std::vector<Node>& nodes) {
  return "# bash completion for icon: source it, or put it into\n"
         "# /usr/share/bash-completion/completions/icon\n"
         "_icon() {\n"
         "  local current=${COMP_WORDS[COMP_CWORD]} path='' i word\n"
         "  local subcommands='' options='' icons='' words\n"
         "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
         "    word=${COMP_WORDS[i]}\n"
         "    if [[ $word == -- ]]; then compopt -o default; COMPREPLY=(); return; fi\n"
         "    case \"$path/$word\" in " +
         path_cases(nodes) +
         ") path=$path/$word ;; esac\n"
         "  done\n"
         "  case $path in\n" +
         word_cases(nodes) +
         "  esac\n"
         "  if [[ $current == -* ]]; then words=$options\n"
         "  elif [[ -n $icons ]]; then words=$(icon ps -o names 2>/dev/null)\n"
         "  else words=$subcommands; fi\n"
         "  mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n"
         "  [[ ${#COMPREPLY[@]} -gt 0 ]] || compopt -o default\n"
         "}\n"
         "complete -F _icon icon\n";
}

std::string zsh_script(const std::vector<Node>& nodes) {
  return "#compdef icon\n"
         "# zsh completion for icon: put it as _icon into a directory of $fpath.\n"
         "_icon() {\n"
         "  local path_so_far='' i word subcommands='' options='' icons=''\n"
         "  for ((i = 2; i < CURRENT; i++)); do\n"
         "    word=${words[i]}\n"
         "    if [[ $word == -- ]]; then _files; return; fi\n"
         "    case \"$path_so_far/$word\" in (" +
         path_cases(nodes) +
         ") path_so_far=$path_so_far/$word ;; esac\n"
         "  done\n"
         "  case $path_so_far in\n" +
         word_cases(nodes) +
         "  esac\n"
         "  if [[ ${words[CURRENT]} == -* ]]; then compadd -- ${=options}\n"
         "  elif [[ -n $icons ]]; then compadd -- $(icon ps -o names 2>/dev/null)\n"
         "  elif [[ -n $subcommands ]]; then compadd -- ${=subcommands}\n"
         "  else _files; fi\n"
         "}\n"
         "if [[ $funcstack[1] == _icon ]]; then _icon \"$@\"; else compdef _icon icon; fi\n";
}

// fish asks for each word whether its condition holds; the condition is the path so far.
std::string fish_script(const std::vector<Node>& nodes) {
  std::string text =
      "# fish completion for icon: put it into ~/.config/fish/completions/icon.fish\n"
      "function __icon_path\n"
      "  set -l path ''\n"
      "  for word in (commandline -opc)[2..-1]\n"
      "    switch $path/$word\n"
      "      case";
  for (const auto& node : nodes)
    if (!node.path.empty()) text += " '" + node.path + "'";
  text +=
      "\n"
      "        set path $path/$word\n"
      "    end\n"
      "  end\n"
      "  echo $path\n"
      "end\n"
      "function __icon_at\n"
      "  test (__icon_path) = \"$argv[1]\"\n"
      "end\n";
  for (const auto& node : nodes) {
    const auto start = "complete -c icon -n '__icon_at \"" + node.path + "\"' ";
    for (const auto& word : node.subcommands)
      text += start + "-f -a " + word.text + " -d '" + word.description + "'\n";
    for (const auto& word : node.options) {
      const bool is_long = word.text.starts_with("--");
      text += start + (is_long ? "-l " : "-s ") + word.text.substr(is_long ? 2 : 1) + " -d '" +
              word.description + "'\n";
    }
    if (node.takes_icon) text += start + "-f -a '(icon ps -o names 2>/dev/null)'\n";
  }
  return text;
}

}  // namespace

std::string completion_script(const CLI::App& app, const std::string& shell) {
  std::vector<Node> nodes;
  collect(app, "", nodes);
  if (shell == "zsh") return zsh_script(nodes);
  if (shell == "fish") return fish_script(nodes);
  return bash_script(nodes);
}

}  // namespace icon::cli
