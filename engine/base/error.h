// SPDX-License-Identifier: Apache-2.0
// The one error of the engine: a code and a sentence. Thrown inside, caught where the C API begins.
#ifndef BITLENS_BASE_ERROR_H_
#define BITLENS_BASE_ERROR_H_

#include <string>

namespace bitlens {

enum class ErrorCode { kFormat = 1, kArgument = 2, kMemory = 3, kBusy = 4, kInput = 5 };

struct Error {
  ErrorCode code;
  std::string message;  // "<layer or file>: <thing> must be <rule>, not <value>"
};

// Throws an Error with a message in the manner of printf.
[[noreturn]] __attribute__((format(printf, 2, 3))) void fail(ErrorCode code, const char* format, ...);

}  // namespace bitlens

#endif  // BITLENS_BASE_ERROR_H_
