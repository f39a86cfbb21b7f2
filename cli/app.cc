#include "cli/app.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "cli/actions.h"
#include "cli/adopt.h"
#include "cli/auction.h"
#include "cli/brakes.h"
#include "cli/check.h"
#include "cli/check_move.h"
#include "cli/check_provider.h"
#include "cli/completion.h"
#include "cli/ledger.h"
#include "cli/lists.h"
#include "cli/local.h"
#include "cli/migrate.h"
#include "cli/path.h"
#include "cli/receipts.h"
#include "cli/simulate.h"

namespace icon::cli {
namespace {

constexpr std::int64_t kGraceMaxMs = 600'000;
constexpr int kLogLinesMax = 100'000;
constexpr double kTimeoutMaxS = 86'400;

// Owns the options' values for as long as the tree is used; commands only note what to run, so that
// nothing happens before the whole line is known to be right.
class Tree {
 public:
  Tree(Context& context, std::string program_directory)
      : context_(context), program_directory_(std::move(program_directory)) {
    app_.name("icon");
    app_.require_subcommand(0, 1);
    app_.fallthrough();
    app_.add_option("--socket", context_.socket, "the supervisor's unix socket")
        ->envname("ICON_SOCKET")
        ->capture_default_str();
    app_.footer("icon help exit-codes explains what it returns. docs/cli.md shows examples.");
    add_local();
    add_lists();
    add_run();
    add_actions();
    add_migrate();
    add_replicate();
    add_records();
    add_ledger();
    add_simulate();
    add_help();
  }

  CLI::App& app() { return app_; }
  int run() {
    if (action_) return action_();
    return kOk;
  }
  bool has_action() const { return static_cast<bool>(action_); }

 private:
  CLI::App* command(const std::string& name, const std::string& description,
                    std::function<int()> action) {
    auto* sub = app_.add_subcommand(name, description);
    sub->callback([this, action = std::move(action)] { action_ = action; });
    return sub;
  }
  void add_output(CLI::App* sub, bool with_names = false) {
    std::vector<std::string> formats{"table", "json"};
    if (with_names) formats.emplace_back("names");
    sub->add_option("-o,--output", output_,
                    with_names ? "table, json or names" : "table or json (the API's answer)")
        ->check(CLI::IsMember(formats))
        ->each([this](const std::string& value) { context_.json = value == "json"; });
  }
  CLI::App* listing(const std::string& name, const std::string& description,
                    std::function<int()> action) {
    auto* sub = command(name, description, std::move(action));
    add_output(sub);
    return sub;
  }
  void add_icon_argument(CLI::App* sub) {
    sub->add_option("icon", icon_, "name, id or the unique beginning of an id")->required();
  }

  void add_local() {
    auto* check = listing(
        "check", "Look for what a host needs, or for what stands in the way of an ICON's move",
        [this] { return run_check(); });
    auto* checked =
        check->add_option("icon", icon_, "can this ICON move? Else: can this machine be a host?");
    check->add_option("--to", checked_to_,
                      "can it go to this provider: its room, kernel, processor and CRIU");
    check->add_option("--pid", checked_pid_, "instead of an ICON: any process and those below it")
        ->check(CLI::PositiveNumber)
        ->excludes(checked)
        ->excludes("--to");
    check->add_option("--criu", check_.criu, "the CRIU program to check");
    check->add_option("--state-dir", check_.state_dir, "where the supervisor will keep its state")
        ->capture_default_str();

    auto* keygen = listing("keygen", "Make a key, mode 0600, and print its id",
                           [this] { return generate_key(context_, key_path_); });
    keygen->add_option("file", key_path_, "where to write it; never overwritten")->required();

    auto* provider = app_.add_subcommand("provider", "For those who sell slots");
    provider->require_subcommand(1);
    auto* records =
        provider->add_subcommand("dns-records", "Print the records that let ICONs find you");
    records->callback(
        [this] { action_ = [this] { return print_dns_records(context_, records_); }; });
    add_output(records);
    records->add_option("--domain", records_.domain, "the registrable domain of your network")
        ->required();
    records->add_option("--config", records_.config_file,
                        "the supervisor's file: address, port and key from there");
    records->add_option("--host", records_.host, "the supervisor's host: a name or an address");
    records->add_option("--port", records_.port, "its TLS port")
        ->check(CLI::Range(1, 65535))
        ->capture_default_str();
    records->add_option("--address", records_.address,
                        "with a host name: its address, for an A record");
    auto* key = records->add_option("--key", records_.key_file, "the supervisor's key file");
    records->add_option("--id", records_.id, "its id, where the key is elsewhere")->excludes(key);
    records->add_option("--location", records_.location, "where you are, for people");
    records->add_option("--format", records_.format, "bind, nsd or knot")
        ->check(CLI::IsMember({"bind", "nsd", "knot"}))
        ->capture_default_str();
    records->add_option("--ttl", records_.ttl, "seconds")->capture_default_str();
    add_provider_check(provider);
  }

  void add_provider_check(CLI::App* provider) {
    auto* check = provider->add_subcommand(
        "check", "Look at a provider as a stranger does: DNS, DNSSEC, TLS key, offers");
    check->callback(
        [this] { action_ = [this] { return run_provider_check(context_, provider_check_); }; });
    add_output(check);
    check->add_option("domain", provider_check_.domain, "where the SRV and TXT records are")
        ->required();
    check
        ->add_option("--dns", provider_check_.dns_servers,
                     "DNS server ADDRESS or ADDRESS:PORT; else those of /etc/resolv.conf")
        ->expected(1)
        ->take_all();
    check
        ->add_option("--anchor", provider_check_.anchors,
                     "DS or DNSKEY record to start from; else the root's")
        ->expected(1)
        ->take_all();
    check->add_option("--timeout", provider_check_.timeout_s, "seconds for all DNS questions")
        ->check(CLI::Range(0.1, kTimeoutMaxS))
        ->capture_default_str();
    check->footer("Exit codes: 0 ICONs can buy there, 1 they cannot, 2 wrong usage.");
  }

  int run_check() {
    if (checked_pid_ > 0) return check_process(context_, checked_pid_);
    if (!icon_.empty()) return check_icon(context_, icon_, checked_to_);
    if (!checked_to_.empty()) return check_destination(context_, checked_to_);
    check_.program_dir = program_directory_;
    return show_findings(context_, run_checks(check_, context_.socket));
  }

  void add_lists() {
    auto* ps = command("ps", "List the ICONs of this host",
                       [this] { return list_icons(context_, output_ == "names"); });
    add_output(ps, true);
    auto* providers = listing(
        "providers", "List the providers that ICONs found, and what became of them", [this] {
          return record_ ? list_record(context_, icon_) : list_providers(context_, icon_);
        });
    providers->add_option("icon", icon_, "only those of one ICON");
    providers->add_flag("--record", record_, "what they promised, and what they delivered");
    add_path_options(*command("path", "Draw the way to users: hops, owners, providers, prices",
                              [this] { return show_path(context_, path_); }),
                     path_);
    listing("leases", "List the slots sold and bought here, or all that one ICON has held", [this] {
      return list_leases(context_, icon_);
    })->add_option("icon", icon_, "what this ICON paid, wherever it was");
    auto* bids = listing("bids", "List sealed bids: open and past ones, and what became of them",
                         [this] { return list_bids(context_, icon_, sales_); });
    bids->add_option("icon", icon_, "only those of one ICON");
    bids->add_flag("--sales", sales_, "the sales that this host has called");
    listing("history", "List migrations, newest first", [this] {
      return list_history(context_, icon_);
    })->add_option("icon", icon_, "only those of one ICON");
    listing("stubs", "List what is left of ICONs that moved away",
            [this] { return list_stubs(context_); });
    listing("tunnels", "List the tunnels to other hosts",
            [this] { return list_tunnels(context_); });
    listing("status", "Show this host: key, addresses, capacity",
            [this] { return show_status(context_); });
    add_icon_argument(listing("plan", "Say what an ICON would do now and why, without doing it",
                              [this] { return plan(context_, icon_); }));
    listing("explain", "Say in plain sentences why an ICON moved or stayed",
            [this] { return explain(context_, explained_); })
        ->add_option(
            "id", explained_,
            "a migration's or decision's id or its beginning; or an ICON: its newest decision")
        ->required();
  }

  void add_run() {
    auto* run =
        listing("run", "Run a service as an ICON", [this] { return run_icon(context_, run_); });
    run->add_option("--name", run_.name, "what to call it; else the command's file name");
    auto* rootfs =
        run->add_option("--rootfs", run_.rootfs, "root directory; used in place, never written");
    run->add_option("--bundle", run_.bundle, "OCI bundle directory")->excludes(rootfs);
    run->add_option("--image", run_.image, "image of this host's Docker Engine")->excludes(rootfs);
    run->add_option("--runtime", run_.runtime,
                    "docker: Docker owns the container (docker ps, logs)")
        ->check(CLI::IsMember({"runc", "docker"}));
    run->add_option("--policy", run_.policy_file, "policy file; checked before anything starts");
    run->add_option("--dns-key", run_.dns_key_file,
                    "file with the TSIG key of the policy's dns_update");
    run->add_option("-p,--publish", run_.ports, "PUBLIC[:CONTAINER][/udp]; may be repeated")
        ->expected(1)
        ->take_all();
    run->add_option("-e,--env", run_.env, "NAME=VALUE; may be repeated")->expected(1)->take_all();
    run->add_option("--cpu", run_.cpu, "cores, like 0.5; 0 = no limit");
    run->add_option("--memory", run_.memory, "like 256MiB");
    run->add_option("--bandwidth", run_.bandwidth, "like 100Mbit");
    run->add_option("--cwd", run_.cwd, "working directory inside");
    run->add_option("command", run_.command, "behind --: the command and its arguments");
    run->positionals_at_end();
    add_adopt_options(*listing("adopt", "Make an ICON of a container that Docker runs",
                               [this] { return adopt_container(context_, adopt_); }),
                      adopt_);
    run->footer(
        "Example: icon run --rootfs ./redis -p 6379 --policy p.yaml -- "
        "/usr/bin/redis-server /etc/redis/icon.conf");
  }

  void add_actions() {
    for (const bool hold : {true, false}) {
      auto* sub = listing(hold ? "hold" : "unhold",
                          hold ? "Let an ICON take no decisions to move" : "Let it decide again",
                          [this, hold] { return hold_icon(context_, icon_, hold); });
      add_icon_argument(sub);
    }
    listing("cordon", "Take no new ICONs at this host, and sell no slots", [this] {
      return cordon(context_, cordon_reason_);
    })->add_option("--reason", cordon_reason_, "told to those who ask for a slot");
    listing("uncordon", "Take ICONs again", [this] { return uncordon(context_); });
    auto* stop = listing("stop", "Stop an ICON, or take its stub down",
                         [this] { return stop_icon(context_, icon_, grace_ms_); });
    add_icon_argument(stop);
    stop->add_option("--grace-ms", grace_ms_, "between SIGTERM and SIGKILL")
        ->check(CLI::Range(std::int64_t{0}, kGraceMaxMs))
        ->capture_default_str();
    auto* logs = listing("logs", "Print what a service, or its agent, wrote", [this] {
      logs_.icon = icon_;
      return show_logs(context_, logs_);
    });
    add_icon_argument(logs);
    logs->add_flag("-f,--follow", logs_.follow, "go on until ctrl-C");
    logs->add_option("--source", logs_.source, "service or agent")
        ->check(CLI::IsMember({"service", "agent"}))
        ->capture_default_str();
    logs->add_option("-n,--lines", logs_.lines, "how many of the last lines")
        ->check(CLI::Range(0, kLogLinesMax))
        ->capture_default_str();
  }

  void add_migrate() {
    auto* migrate = listing("migrate", "Move an ICON to a provider and watch it", [this] {
      migrate_.icon = icon_;
      migrate_.wait = !no_wait_;
      migrate_.timeout = Millis(static_cast<std::int64_t>(timeout_s_ * 1000));
      return migrate_icon(context_, migrate_);
    });
    add_icon_argument(migrate);
    add_destination(migrate);
  }

  void add_destination(CLI::App* sub) {
    sub->add_option("--to", migrate_.to, "provider name, id or ADDRESS:PORT")->required();
    sub->add_flag("--no-wait", no_wait_, "return when it is requested");
    sub->add_option("--timeout", timeout_s_, "seconds to wait for the end")
        ->check(CLI::Range(0.0, kTimeoutMaxS))
        ->capture_default_str();
  }

  void add_replicate() {
    auto* replicate = listing("replicate", "Start a replica of an ICON at a provider", [this] {
      migrate_.replica = true;
      migrate_.icon = icon_;
      migrate_.wait = !no_wait_;
      migrate_.timeout = Millis(static_cast<std::int64_t>(timeout_s_ * 1000));
      return migrate_icon(context_, migrate_);
    });
    add_icon_argument(replicate);
    add_destination(replicate);
  }

  // What needs no supervisor: documents on disk, checked by anybody.
  void add_records() {
    auto* auction = app_.add_subcommand("auction", "For those who trade slots by auction");
    auction->require_subcommand(1);
    auto* verify = auction->add_subcommand(
        "verify", "Compute an auction again from its signed documents, and compare");
    verify->callback([this] { action_ = [this] { return verify_auction(context_, files_); }; });
    add_output(verify);
    verify->add_option("files", files_, "documents, one per line; together they are the record")
        ->required();

    auto* receipts = app_.add_subcommand("receipts", "What slots have cost");
    receipts->require_subcommand(1);
    auto* bills = receipts->add_subcommand(
        "verify", "Compute the bills of leases again from their signed documents");
    bills->callback([this] { action_ = [this] { return verify_receipts(context_, files_); }; });
    add_output(bills);
    bills->add_option("files", files_, "documents, one per line; ledgers; or ICONs of this host")
        ->required();
  }

  void add_ledger() {
    auto* ledger = app_.add_subcommand("ledger", "What happened in an ICON's life, signed");
    ledger->require_subcommand(1);
    auto* verify =
        ledger->add_subcommand("verify", "Prove a ledger offline: every link, every signature");
    verify->callback([this] { action_ = [this] { return verify_ledger(context_, ledger_); }; });
    add_output(verify);
    verify->add_option("--head", ledger_.head, "an entry's digest, noted before: it must be there");
    auto* print = ledger->add_subcommand("export", "Print its entries, one per line");
    print->callback([this] { action_ = [this] { return export_ledger(context_, ledger_); }; });
    print->add_flag("--prov", ledger_.prov, "as W3C PROV-JSON, checked");
    for (auto* sub : {verify, print}) {
      sub->add_option("file", ledger_.file,
                      "an ICON of this host; or a ledger's SQLite file or entries, one per line");
      sub->add_flag("--before", ledger_.before, "of an ICON: the full file before the present one");
      sub->add_option("--etcd", ledger_.etcd, "instead: a node's URL; may be repeated")
          ->expected(1)
          ->take_all();
      sub->add_option("--prefix", ledger_.prefix, "of its keys there, like /icon/ledger/NAME/");
      sub->add_option("--cacert", ledger_.ca_file, "for https, with --cert and --key");
      sub->add_option("--cert", ledger_.certificate_file, "who we are");
      sub->add_option("--key", ledger_.key_file, "its key");
    }
  }

  void add_simulate() {
    auto* run = listing("simulate", "Play a day of many ICONs in a world that is only computed",
                        [this] { return run_simulation(context_, simulate_); });
    run->add_option("--policy", simulate_.policy_file, "of every ICON")->required();
    run->add_option("--nodes", simulate_.nodes, "hosts of providers")->capture_default_str();
    run->add_option("--services", simulate_.services, "ICONs")->capture_default_str();
    run->add_option("--users", simulate_.users, "of all of them")->capture_default_str();
    run->add_option("--regions", simulate_.regions, "names, like a,b,c; else the matrix's")
        ->delimiter(',');
    run->add_option("--matrix", simulate_.matrix_file,
                    "measured round-trip times between regions (CSV, ms); else a synthetic world");
    run->add_option("--hours", simulate_.hours, "how long")->capture_default_str();
    run->add_option("--seed", simulate_.seed, "the same gives the same")->capture_default_str();
    run->add_flag("--watched", simulate_.watched, "they have watched their users for a day before");
    run->add_option("--plots", simulate_.plots, "directory for SVG plots");

    auto* what_if = listing("whatif", "Live again what an ICON recorded, under another policy",
                            [this] { return run_what_if(context_, what_if_); });
    what_if->add_option("--policy", what_if_.policy_file, "the other policy")->required();
    what_if
        ->add_option("--record", what_if_.record_file,
                     "the ICON's rounds.jsonl (policy key record)")
        ->required();
  }

  void add_help() {
    auto* completion =
        command("completion", "Print a script that completes icon's commands", [this] {
          context_.out << completion_script(app_, shell_);
          return static_cast<int>(kOk);
        });
    completion->add_option("shell", shell_, "bash, zsh or fish")
        ->check(CLI::IsMember({"bash", "zsh", "fish"}))
        ->required();
    auto* help =
        command("help", "Explain a command, or exit-codes", [this] { return show_help(); });
    help->add_option("topic", help_topic_, "exit-codes or a command");
  }

  int show_help() {
    if (help_topic_.empty()) {
      context_.out << app_.help();
      return kOk;
    }
    if (help_topic_ == std::vector<std::string>{"exit-codes"}) {
      context_.out << exit_codes_help();
      return kOk;
    }
    CLI::App* topic = &app_;
    std::string parents;
    for (const auto& word : help_topic_) {
      parents += (parents.empty() ? "" : " ") + topic->get_name();
      const auto subs =
          topic->get_subcommands([&](CLI::App* sub) { return sub->check_name(word); });
      if (subs.empty())
        return report(context_, {kUsage, "no help on " + word, "icon help lists the commands."});
      topic = subs[0];
    }
    context_.out << topic->help(parents);
    return kOk;
  }

  Context& context_;
  std::string program_directory_;
  CLI::App app_{"ICON: containers that move to their users."};
  std::function<int()> action_;
  std::string output_ = "table";
  std::string icon_;
  bool sales_ = false;
  bool record_ = false;
  std::string explained_;
  std::string cordon_reason_;
  std::string checked_to_;
  int checked_pid_ = 0;
  std::string key_path_;
  std::string shell_;
  std::vector<std::string> help_topic_;
  std::vector<std::string> files_;
  LedgerOptions ledger_;
  SimulateOptions simulate_;
  WhatIfOptions what_if_;
  std::int64_t grace_ms_ = 5'000;
  double timeout_s_ = 300;
  bool no_wait_ = false;
  CheckOptions check_;
  DnsRecordOptions records_;
  ProviderCheckOptions provider_check_;
  RunOptions run_;
  AdoptOptions adopt_;
  LogOptions logs_;
  MigrateOptions migrate_;
  PathOptions path_;
};

int parse_and_run(std::vector<std::string> arguments, Context& context,
                  const std::string& program_directory, const std::vector<ExtraCommands>& extras) {
  Tree tree(context, program_directory);
  int extra_status = kOk;
  for (const auto& add : extras) add(tree.app(), extra_status);
  if (arguments.empty()) arguments.emplace_back("--help");
  std::reverse(arguments.begin(), arguments.end());  // the order in which the library takes them
  try {
    tree.app().parse(std::move(arguments));
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {  // --help
      tree.app().exit(error, context.out, context.err);
      return kOk;
    }
    return report(context, {kUsage, error.what(), "icon help COMMAND explains it."});
  }
  return tree.has_action() ? tree.run() : extra_status;
}

}  // namespace

int report(Context& context, const Failure& failure) {
  context.err << "icon: " << failure.message << '\n';
  if (!failure.next_step.empty()) context.err << "      " << failure.next_step << '\n';
  return failure.exit_code;
}

int run_cli(std::vector<std::string> arguments, Context& context,
            const std::string& program_directory, const std::vector<ExtraCommands>& extras) {
  try {
    return parse_and_run(std::move(arguments), context, program_directory, extras);
  } catch (const std::exception& error) {
    return report(context, {kFailed, std::string("unexpected: ") + error.what(), ""});
  }
}

}  // namespace icon::cli
