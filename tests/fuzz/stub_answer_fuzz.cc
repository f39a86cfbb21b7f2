// A request to the redirector; the properties are the stub's own.
#include "tests/fuzz/fuzz_target.h"
#include "tests/unit/stub/answer_fuzz.h"

namespace icon::stub {

ICON_FUZZ_TARGET(stub_answer) { fuzz_answer(input); }

}  // namespace icon::stub
