# SPDX-License-Identifier: Apache-2.0
# Compiled hosted here and freestanding by the hypervisor.
set(X86_SOURCES
  ${CMAKE_CURRENT_LIST_DIR}/boot_options.cpp
  ${CMAKE_CURRENT_LIST_DIR}/cpu_bugs.cpp
  ${CMAKE_CURRENT_LIST_DIR}/decode.cpp
  ${CMAKE_CURRENT_LIST_DIR}/feature_set.cpp
  ${CMAKE_CURRENT_LIST_DIR}/fixed_msrs.cpp
  ${CMAKE_CURRENT_LIST_DIR}/offered_policy.cpp
  ${CMAKE_CURRENT_LIST_DIR}/own_policy.cpp
  ${CMAKE_CURRENT_LIST_DIR}/speculation_options.cpp
  ${CMAKE_CURRENT_LIST_DIR}/speculation_policy.cpp
  ${CMAKE_CURRENT_LIST_DIR}/speculation_words.cpp
  ${CMAKE_CURRENT_LIST_DIR}/store_instruction.cpp
  ${CMAKE_CURRENT_LIST_DIR}/topology.cpp
  ${CMAKE_CURRENT_LIST_DIR}/xen_leaves.cpp)
