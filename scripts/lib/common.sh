# SPDX-License-Identifier: Apache-2.0
# Shared by ./run, ./test and the image makers: messages, packages to install, packages to take apart.
# Needs: TOP (the source tree). Sets: CACHE (downloads, shared by every build folder).

shopt -s inherit_errexit  # or a failure inside $(...) would go unseen

CACHE=${XENOLITH_CACHE:-$TOP/build/cache}

say() { [ -n "${QUIET:-}" ] || printf '%s\n' "xenolith: $*" >&2; }
die() { printf '%s\n' "xenolith: error: $*" >&2; exit 1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null 2>&1; then sudo "$@"
    else die "'$1' must be run as root: become root, or install sudo"
    fi
}

# Steps run side by side, and of two apts at once one is refused (the lists have no timeout as dpkg's lock has) or reads lists that are
# being written: COMMAND has apt to itself, among those that share this cache.
apt_alone() {
    mkdir -p "$CACHE"
    (
        flock 7
        "$@"
    ) 7>"$CACHE/.apt.lock"
}

# apt's own words go to a log; they are shown only when it fails.
apt_logged() {
    if ! as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 "$@" >"$CACHE/apt.log" 2>&1; then
        tail -n 15 "$CACHE/apt.log" >&2
        return 1
    fi
}

apt_quiet() { apt_alone apt_logged "$@"; }

lists_are_fresh() {
    apt-cache show linux-image-amd64 >/dev/null 2>&1 && [ -n "$(find "$CACHE/.lists" -mtime -1 2>/dev/null)" ]
}

# Whoever waited for its turn finds them read.
read_lists() {
    lists_are_fresh && return
    say "reading package lists"
    apt_logged update || return
    touch "$CACHE/.lists"
}

# Package lists, once per day, and only when something is wanted from them.
apt_lists() {
    [ -n "${APT_LISTS_DONE:-}" ] && return
    apt_alone read_lists || die "apt-get update failed"
    APT_LISTS_DONE=1
}

# need_packages PACKAGE...: installs those that are not there yet.
need_packages() {
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    apt_lists
    say "installing ${missing[*]}"
    apt_quiet install -y --no-install-recommends "${missing[@]}" || die "could not install ${missing[*]}"
}

# Backports come from the mirror apt already uses for the release itself.
enable_backports() {
    local list=/etc/apt/sources.list.d/xenolith-backports.sources uri
    apt-cache policy 2>/dev/null | grep -q bookworm-backports && return 0
    uri=$(apt-get indextargets --format '$(CREATED_BY)|$(ORIGIN)|$(CODENAME)|$(REPO_URI)' |
          awk -F'|' '$1 == "Packages" && $2 == "Debian" && $3 == "bookworm" { print $4; exit }')
    [ -n "$uri" ] || return 1
    printf 'Types: deb\nURIs: %s\nSuites: bookworm-backports\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n' "$uri" |
        as_root tee "$list" >/dev/null || return 1
    if ! apt_quiet update; then
        as_root rm -f "$list"
        apt_quiet update || true
        return 1
    fi
}

# QEMU 10 from backports where it can be had, Debian 12's 7.2 otherwise (XENOLITH_QEMU=7.2 asks for the latter).
need_qemu() {
    command -v qemu-system-x86_64 >/dev/null 2>&1 && return 0
    apt_lists
    if [ "${XENOLITH_QEMU:-}" != 7.2 ] && enable_backports; then
        say "installing QEMU from bookworm-backports"
        apt_quiet install -y --no-install-recommends -t bookworm-backports qemu-system-x86 seabios && return 0
        say "no QEMU from backports; taking Debian 12's own"
    fi
    need_packages qemu-system-x86 seabios
}

# debian_root TARGET OPTION...: mmdebstrap makes a Debian 12 (a folder or an archive) from where apt gets it here.
debian_root() {
    local target=$1
    shift
    need_packages mmdebstrap >&2
    apt-get indextargets --format 'deb $(REPO_URI) $(CODENAME) $(COMPONENT)|$(ORIGIN)|$(CREATED_BY)' |
        sed -n 's/|Debian|Packages$//p' | grep -E ' bookworm(-updates|-security)? ' | sort -u |
        as_root mmdebstrap "$@" bookworm "$target" - >"$CACHE/mmdebstrap.log" 2>&1 ||
        { tail -n 20 "$CACHE/mmdebstrap.log" >&2; die "mmdebstrap failed"; }
}

need_grub() { need_packages grub-pc-bin grub-common xorriso mtools; }
need_bochs() { need_packages bochs bochs-term bochsbios vgabios; need_grub; }

# fetch_package NAME: downloads a Debian package once and takes it apart; prints the folder.
fetch_package() {
    local dir=$CACHE/packages/$1
    if [ ! -e "$dir/.complete" ]; then
        apt_lists >&2
        mkdir -p "$CACHE/packages"
        fetch_and_unpack "$1" "$dir" >&2
    fi
    printf '%s\n' "$dir"
}

fetch_and_unpack() {
    local name=$1 dir=$2 work
    work=$(mktemp -d "$CACHE/fetch.XXXXXX") || die "cannot write to $CACHE"
    chmod 755 "$work"
    if ! (cd "$work" && apt_alone apt-get download "$name" >download.log 2>&1); then
        cat "$work/download.log" >&2
        rm -rf "$work"
        die "could not download package $name"
    fi
    mkdir "$work/root"
    if ! dpkg -x "$work"/*.deb "$work/root"; then rm -rf "$work"; die "could not take package $name apart"; fi
    dpkg-deb -f "$work"/*.deb Package Version >"$work/root/.complete"
    # Whoever comes second leaves the first one's copy alone.
    if [ -e "$dir/.complete" ]; then rm -rf "$work"; return; fi
    rm -rf "$dir"
    mv "$work/root" "$dir"
    rm -rf "$work"
}

# The stock kernel that Debian's meta package names today (not the one from backports).
# Chosen once per cache; delete the cache to move on to a newer kernel.
kernel_package() {
    [ -s "$CACHE/kernel" ] && { cat "$CACHE/kernel"; return; }
    apt_lists >&2
    apt-cache show --no-all-versions linux-image-amd64 | sed -n 's/^Depends: *\(linux-image-[^ ,]*\).*/\1/p' | head -n 1 | tee "$CACHE/kernel"
}

# Several ./run may work in one tree: one lock for what they share.
with_cache_lock() {
    mkdir -p "$CACHE"
    exec 8>"$CACHE/.lock"
    flock 8
    "$@"
    local status=$?
    exec 8>&-
    return $status
}
