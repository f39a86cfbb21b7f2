#include "discovery/registrable_domain.h"

#include <libpsl.h>

#include "discovery/dns_message.h"

namespace icon::discovery {

Result<std::string> registrable_domain(std::string_view host) {
  ICON_TRY(const std::string name, normalise_name(host));
  // An address is no name; the "*" rule would turn it into one.
  if (Address::parse(name)) return fail(Code::kInvalid, "an address, not a name: " + name);
  // A static part of libpsl, never freed. Null only when libpsl was built without its list.
  const psl_ctx_t* list = psl_builtin();
  if (list == nullptr) {
    // What the "*" rule alone gives: the last two labels.
    const auto last = name.rfind('.');
    if (last == std::string::npos || last == 0)
      return fail(Code::kNotFound, "a top-level domain: " + name);
    const auto before = name.rfind('.', last - 1);
    return before == std::string::npos ? name : name.substr(before + 1);
  }
  const char* domain = psl_registrable_domain(list, name.c_str());
  if (domain == nullptr) return fail(Code::kNotFound, "a public suffix: " + name);
  return std::string(domain);
}

}  // namespace icon::discovery
