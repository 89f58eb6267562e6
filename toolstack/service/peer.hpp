// SPDX-License-Identifier: Apache-2.0
/// Who is at the other end of a connection.
#pragma once

namespace service {

/// True when the socket at the other end of a loopback connection belongs to root: the kernel's own table says so. One that its
/// owner has closed is shown as root's, whoever that was, and without an inode: it is nobody's.
bool peer_is_root(int fd);

}  // namespace service
