#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Writes small seeds for the parsers' fuzzers to corpus/ beside this script. Needs xz.
set -eu
cd "$(dirname "$0")"
seed() { mkdir -p "corpus/$1" && cat >"corpus/$1/$2"; }
zeros() { head -c "$1" /dev/zero; }

printf '(vm (name demo) (memory 64) (image (linux (kernel /k) (args "a b\\x41\\101"))))' | seed sxp vm
printf '(disk (@ (mode ro)) (dev hda)) # comment\n(a<b c) \047it\\\047s\047 \004 rest' | seed sxp tokens

printf '<?xml version="1.0"?><methodCall><methodName>xend.domain.create</methodName><params><param><value><array><data><value><string>vm</string></value><value><array><data><value>name</value><value>a&amp;b</value></data></array></value></data></array></value></param></params></methodCall>' | seed xmlrpc create
printf '<methodCall><methodName>xend.domain.pincpu</methodName><params><param><value>1</value></param><param><value><int>0</int></value></param><param><value><array><data><value><i4>1</i4></value></data></array></value></param></params></methodCall>' | seed xmlrpc pincpu
printf '<methodCall><methodName>system.methodHelp</methodName><params><param><value><struct><member><name>a</name><value><boolean>1</boolean></value></member><member><name>b</name><value><double>1.5</double></value></member><member><name>c</name><value><nil/></value></member></struct></value></param></params></methodCall>' | seed xmlrpc types

printf '\001/domains\n{"config":{"name":"demo","memory":64,"disks":[{"uname":"phy:/x","dev":"xvda"}]},"start":true}' | seed rest create
printf '\002/domains/a%%20b/vbds/xvda?force=true\n' | seed rest detach
printf '\002/domains/a/vbds/b?%%00%%0a=1\n' | seed rest zero_in_a_name
printf '\001/domains/0/vcpus\n{"count":18446744073709551615,"count":-1.5e3,"\\u0000":["\\ud83d\\ude00",null]}' | seed rest numbers

printf '\001\0\0\0\001\0\0\0\0\0\0\0\002\0\0\0/\0\013\0\0\0\002\0\0\0\0\0\0\0\004\0\0\0/a\0b' | seed xs_wire stream
printf '\374\377\377\377\003\0\0\0some bytes for the ring' | seed xs_wire ring

text=$(i=0; while [ $i -lt 40 ]; do printf 'call \350\001\0\0\0 jump %d ' $i | tr '\0' '.'; i=$((i + 1)); done)
# Mode 0: the bare LZMA2 stream; its place in the file follows the 12-byte stream header and the 12-byte block header.
{ printf '\001'; printf '%s' "$text" | xz --check=none | tail -c +25; } | seed xz lzma2
{ printf '\015'; printf '%s' "$text" | xz --check=crc32 --x86 --lzma2; } | seed xz file_x86
{ printf '\015'; printf '%s' "$text" | xz --check=crc64; } | seed xz file_crc64
{ printf '\010'; printf '\350\0\0\0\0\350\001\002\003\377\351\0\350\0\0\0\377\377'; } | seed xz filter

# An ELF file: one loadable segment, one note segment with the entry note.
{
  printf '\177ELF\002\001\001'; zeros 9
  printf '\002\0\076\0\001\0\0\0\0\0\0\001\0\0\0\0\100\0\0\0\0\0\0\0'; zeros 8
  printf '\0\0\0\0\100\0\070\0\002\0\100\0\0\0\0\0'
  printf '\001\0\0\0\005\0\0\0\260\0\0\0\0\0\0\0\0\0\0\001\0\0\0\0\0\0\0\001\0\0\0\0\020\0\0\0\0\0\0\0\040\0\0\0\0\0\0\0\0\020\0\0\0\0\0\0'
  printf '\004\0\0\0\004\0\0\0\260\0\0\0\0\0\0\0'; zeros 16; printf '\030\0\0\0\0\0\0\0\030\0\0\0\0\0\0\0\004\0\0\0\0\0\0\0'
  printf '\004\0\0\0\010\0\0\0\001\0\0\0Xen\0\0\0\0\001\0\0\0\0'
} | seed elf notes

{
  zeros 497; printf '\001'; zeros 12; printf '\125\252\0\0HdrS\017\002'; zeros 46; printf '\177\0'; zeros 16
  printf '\040\0\0\0\020\0\0\0'; zeros 464; printf '\3757zXZ\0payload\001\0\0'
} | seed bzimage xz

{ printf '\0'; printf 'APIC'; zeros 32; printf '\0\0\340\376\001\0\0\0\0\010\0\0\001\0\0\0\001\014\0\0\0\0\300\376\0\0\0\0\002\012\0\011\011\0\0\0\015\0'; } | seed acpi madt
{ printf '\001'; printf 'FACP'; zeros 76; printf '\004\006\0\0'; zeros 200; } | seed acpi fadt
{ printf '\043'; printf 'DSDT'; zeros 33; printf '\010_S5_\022\006\004\012\005\012\005\0\0'; } | seed acpi s5

{ printf '\001\104\0\0\0'; zeros 40; printf '\030\0\0\0\110\020\0\0'; zeros 20; printf '\024\0\0\0\0\0\0\0\0\0\0\0\0\0\020\0\0\0\0\0\001\0\0\0'; } | seed multiboot version1
{ printf '\002\100\0\0\0\0\0\0\0\001\0\0\0\015\0\0\0line\0\0\0\0\006\0\0\0\050\0\0\0\030\0\0\0\0\0\0\0'; zeros 8; printf '\0\020\0\0\0\0\0\0\001\0\0\0\0\0\0\0\0\0\0\0\010\0\0\0'; } | seed multiboot version2

# A saved domain of two pages: one of zeros and one that is absent.
{
  printf 'Xen saved domain, xl format\n \0 \r\004\003\002\001\002\0\0\0\0\0\0\0\005\0\0\0\001\0\0\0x'
  printf 'LibxlFmt\0\0\0\002\0\0\0\0\001\0\0\0\0\0\0\0'
  printf '\377\377\377\377\377\377\377\377XENF\0\0\0\003'; zeros 8
  printf '\001\0\0\0\014\0\0\0\004\0\0\0\021\0\0\0'
  printf '\002\0\0\0\010\0\0\0\010\004\0\0\0\0\0\0\020\0\0\0\0\0\0\0'
  printf '\003\0\0\0\020\0\0\0\0\0\0\0\001\0\0\0\0\0\0\0\0\0\0\0'
  printf '\001\0\0\0\030\020\0\0\002\0\0\0\0\0\0\0'; zeros 8; printf '\001\0\0\0\0\0\0\360'; zeros 4096
  printf '\010\0\0\0\030\0\0\0'; zeros 24
  printf '\007\0\0\0\0\020\0\0'; zeros 4096
  printf '\004\0\0\0\070\024\0\0'; zeros 5176
  printf '\005\0\0\0\110\0\0\0'; zeros 72
  zeros 16
} | seed saved two_pages

printf '/xen console=com1,vga com1=9600,8n1,0x2f8,3 dom0_mem=min:1M,max:-2G,512M maxcpus=4 loglvl=all/info conring_size=100k' | seed boot_options machine
printf 'xen spec-ctrl=no-xen,bti-thunk=lfence,ibpb=0 xpti=dom0 no-pv-l1tf smt=off sched-gran=core "sched=a b" console_timestamps noreboot x=1' | seed boot_options words

seed boot_menu grub <../system/grub.cfg
printf 'default=1\ntitle A\n root (hd0,0)\n kernel (hd0,0)/k ro\n initrd /i\ntitle B\n kernel /boot/xen.gz\n module /k\n module /i\n' | seed boot_menu menu.lst
printf 'DEFAULT b\nLABEL a\n MENU LABEL ^A\n KERNEL k\n APPEND initrd=i,j root=/x\nLABEL b\n linux /k\n initrd i\n' | seed boot_menu syslinux
printf 'load_env\nblscfg\nif [ ! "${a}" != b ]; then set default=a; fi\ntitle A\nlinux /k\ninitrd /i $x\noptions $kernelopts q\n' | seed boot_menu entries

# The beginning of a relocation: HELLO, an offer, GO; and the end of an image.
{ printf '\001\0\0\0\030\0\0\0\001\0\0\0\0\0\0\0'; zeros 16; printf '\002\0\0\0\045\0\0\0'; zeros 29; printf '\004\0\0\0(vm)\011\0\0\0\0\0\0\0'; } | seed relocation offer
{ printf '\005\0\0\0\014\0\0\0\0\020\0\0\0\0\0\0data\007\0\0\0\020\0\0\0'; zeros 16; printf '\013\0\0\0\007\0\0\0\003\0\0\0why'; } | seed relocation image

printf "name='x'\nkernel='/k'\nmemory=64\ncpus=['0-3','^1']\ndisk=['phy:/dev/a,xvda,w']\nvif=['rate=1Mb/s,ip=1.2.3.4']\n" | seed config file
{
  printf "<domain type='xen'><name>x</name><memory unit='MiB'>64</memory><vcpu current='1' cpuset='0-1'>2</vcpu>"
  printf "<cputune><vcpupin vcpu='1' cpuset='1'/></cputune><os><type>linux</type><kernel>/k</kernel></os><clock offset='utc'/><devices>"
  printf "<disk type='file'><driver type='raw'/><source file='/a'/><target dev='xvda'/></disk>"
  printf "<interface type='bridge'><source bridge='b'/><bandwidth><outbound average='10'/></bandwidth></interface></devices></domain>"
} | seed config libvirt
printf '{"c_info":{"type":"pv","name":"x"},"b_info":{"max_vcpus":2,"avail_vcpus":[0],"max_memkb":65536,"target_memkb":65536,"kernel":"/k","vcpu_hard_affinity":[[0],[1]]},"disks":[{"pdev_path":"/a","vdev":"xvda","format":"raw","readwrite":1}],"nics":[{"devid":0,"bridge":"b"}]}' | seed config libxl
