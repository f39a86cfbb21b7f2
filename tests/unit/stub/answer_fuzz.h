// One fuzz input for the redirector's parser and answers: aborts when a property does not hold.
#pragma once

#include <string_view>

namespace icon::stub {
void fuzz_answer(std::string_view bytes);
}
