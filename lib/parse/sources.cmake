# SPDX-License-Identifier: Apache-2.0
# The parsers' sources, compiled hosted here and freestanding by the hypervisor.
set(PARSE_SOURCES
  ${CMAKE_CURRENT_LIST_DIR}/elf.cpp
  ${CMAKE_CURRENT_LIST_DIR}/xen_guest_text.cpp
  ${CMAKE_CURRENT_LIST_DIR}/bzimage.cpp
  ${CMAKE_CURRENT_LIST_DIR}/crc.cpp
  ${CMAKE_CURRENT_LIST_DIR}/lzma.cpp
  ${CMAKE_CURRENT_LIST_DIR}/x86_filter.cpp
  ${CMAKE_CURRENT_LIST_DIR}/xz.cpp
  ${CMAKE_CURRENT_LIST_DIR}/multiboot.cpp
  ${CMAKE_CURRENT_LIST_DIR}/e820.cpp
  ${CMAKE_CURRENT_LIST_DIR}/efi.cpp
  ${CMAKE_CURRENT_LIST_DIR}/cmdline.cpp
  ${CMAKE_CURRENT_LIST_DIR}/serial.cpp
  ${CMAKE_CURRENT_LIST_DIR}/acpi.cpp
  ${CMAKE_CURRENT_LIST_DIR}/acpi_tables.cpp
  ${CMAKE_CURRENT_LIST_DIR}/pci.cpp)
