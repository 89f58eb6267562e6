# SPDX-License-Identifier: Apache-2.0
# What the makers of boot images share: kernel modules, libraries a program needs, cpio archives.
# Needs common.sh. Every maker works in a folder of its own and moves the result into place when it is whole.

# kernel_tree: the stock kernel, taken apart and depmod'ed; prints "FOLDER VERSION".
kernel_tree() {
    local package dir version
    package=$(kernel_package)
    [ -n "$package" ] || die "apt does not know linux-image-amd64"
    dir=$(fetch_package "$package")
    version=${package#linux-image-}
    [ -e "$dir/.depmod" ] || { /sbin/depmod -b "$dir" "$version" && touch "$dir/.depmod"; } >&2 || die "depmod failed for $version"
    printf '%s %s\n' "$dir" "$version"
}

# module_files FOLDER VERSION NAME...: the files of the modules and of all they depend on, in load order, each once.
module_files() {
    local dir=$1 version=$2 name
    shift 2
    for name in "$@"; do
        /sbin/modprobe -d "$dir" -S "$version" --show-depends "$name" 2>/dev/null ||
            die "the stock kernel $version has no module $name"
    done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }'
}

# copy_program FILE DESTINATION ROOT [LIBRARY_FOLDER...]: copies a program, stripped, and the shared libraries it needs.
copy_program() {
    local file=$1 to=$2 root=$3
    shift 3
    mkdir -p "$root${to%/*}"
    strip -o "$root$to" "$file" 2>/dev/null || cp "$file" "$root$to"
    chmod 755 "$root$to"
    copy_libraries "$root$to" "$root" "$@"
}

# copy_libraries FILE ROOT [LIBRARY_FOLDER...]: what the dynamic loader would load for FILE, from these folders or the host.
copy_libraries() {
    local file=$1 root=$2 path library listing
    shift 2
    path=$(IFS=:; printf '%s' "$*")
    listing=$(LD_LIBRARY_PATH=$path ldd "$file" 2>/dev/null) || return 0  # static
    if printf '%s\n' "$listing" | grep 'not found' >&2; then die "${file##*/} needs libraries that are not here"; fi
    printf '%s\n' "$listing" | awk '$2 == "=>" { print $3 } $1 ~ /^\// { print $1 }' | while read -r library; do
        local name=${library##*/} place=/lib/x86_64-linux-gnu
        case $library in /lib64/*) place=/lib64;; esac
        [ -e "$root$place/$name" ] && continue
        mkdir -p "$root$place"
        cp -L "$library" "$root$place/$name"
    done
}

# make_cpio ROOT FILE: an archive that is the same for the same contents; not compressed, because the emulated CPU
# would spend longer unpacking than the emulator spends loading.
make_cpio() {
    find "$1" -exec touch -h -d @0 {} +
    (cd "$1" && find . | LC_ALL=C sort | cpio --quiet --reproducible -o -H newc -R 0:0) >"$2.part" || die "cpio failed"
    mv "$2.part" "$2"
}

# content_hash NAME...: one hash over the contents of files and folders (their names and modes too).
content_hash() {
    local item
    for item in "$@"; do
        if [ -d "$item" ]; then find "$item" -type f -printf '%m %P\0' | LC_ALL=C sort -z | tr '\0' '\n'; find "$item" -type f -print0 | LC_ALL=C sort -z | xargs -0r sha256sum
        elif [ -e "$item" ]; then stat -c '%a' "$item"; sha256sum "$item"
        else printf 'absent %s\n' "$item"
        fi
    done | sha256sum | cut -c1-24
}
