// SPDX-License-Identifier: Apache-2.0
// Put in front of every source of the image by the build: one image, no symbol leaves it, so every reference can be
// relative to RIP. (-fvisibility=hidden alone says this of definitions only.)
#pragma GCC visibility push(hidden)
