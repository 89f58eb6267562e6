// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

#include "lib/base/outcome.hpp"

namespace xm {

/// Joins standard input and output to the terminal `tty` until Ctrl-], the end of the input, or the end of the domain.
/// A terminal on our side is put into raw mode meanwhile. `joined` is called once `tty` is open; its failure ends it.
/// Errors: of opening the terminal, and joined's.
base::Outcome<> join_terminals(const std::string& tty, const std::function<base::Outcome<>()>& joined);

}  // namespace xm
