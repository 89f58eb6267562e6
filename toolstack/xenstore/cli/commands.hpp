// SPDX-License-Identifier: Apache-2.0
/// What xenstore-read, -write, -list, -ls, -rm, -exists, -chmod, -watch and -control do.
#pragma once

#include <string>
#include <vector>

#include "toolstack/xenstore/client.hpp"

namespace xenstore::cli {

struct Arguments {
    std::string program;  ///< for messages: "xenstore-read"
    bool with_path = false;
    bool raw = false;
    bool tidy = false;
    bool recursive = false;
    bool upwards = false;
    bool permissions = false;
    bool full_path = false;
    int count = -1;  ///< watch: events before leaving; -1 for ever
    std::vector<std::string> words;
};

/// Each returns the process's exit status; messages go to standard error.
int read(Store& store, const Arguments& arguments);
int write(Store& store, const Arguments& arguments);
int list(Store& store, const Arguments& arguments);
int tree(Store& store, const Arguments& arguments);
int remove(Store& store, const Arguments& arguments);
int exists(Store& store, const Arguments& arguments);
int change_permissions(Store& store, const Arguments& arguments);
int watch(Store& store, const Arguments& arguments);
int control(Store& store, const Arguments& arguments);

}  // namespace xenstore::cli
