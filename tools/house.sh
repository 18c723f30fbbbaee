# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Words that quickstart, check and tools/dev share: progress, failing, packages. To be sourced.

HOUSE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() {
	printf '[%4ds] %s\n' "$SECONDS" "$*"
}

warn() {
	printf '[%4ds] warning: %s\n' "$SECONDS" "$*" >&2
}

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

need_root() {
	[ "$(id -u)" = 0 ] || die "must be run as root (it installs packages and runs virtual machines)"
}

debian_release() {
	(. /etc/os-release && echo "${VERSION_CODENAME:-unknown}")
}

need_debian() {
	case $(debian_release) in
	bookworm | trixie) ;;
	*) die "this is not Debian 12 (bookworm) or Debian 13 (trixie)" ;;
	esac
	[ "$(uname -m)" = x86_64 ] || die "this machine is $(uname -m); Mayfly runs on x86_64"
}

# packages_of SET...: the packages of these sets for this release.
packages_of() {
	local set
	for set in "$@"; do
		awk -v set="$set" -v release="$(debian_release)" \
			'$1 == set && (NF == 2 || $3 == release) { print $2 }' \
			"$HOUSE/packaging/debian-packages"
	done
}

# packages_missing SET...: those of them that are not installed.
packages_missing() {
	local package
	for package in $(packages_of "$@"); do
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
			echo "$package"
	done
}

# packages_install SET...: installs what is missing, and nothing when nothing is.
packages_install() {
	local missing log
	mapfile -t missing < <(packages_missing "$@")
	[ ${#missing[@]} -gt 0 ] || return 0
	need_root
	mkdir -p "$HOUSE/build"
	log=$HOUSE/build/apt.log
	say "installing ${#missing[@]} packages: ${missing[*]}"
	export DEBIAN_FRONTEND=noninteractive
	if ! apt-get -q=2 update >"$log" 2>&1 ||
		! apt-get -q=2 -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-unsafe-io \
			install -y --no-install-recommends "${missing[@]}" >>"$log" 2>&1; then
		tail -20 "$log" >&2
		die "packages cannot be installed (log: build/apt.log)"
	fi
	say "packages are installed"
}

# make_system_user NAME COMMENT: unless it is there.
make_system_user() {
	getent passwd "$1" >/dev/null ||
		useradd --system --user-group --no-create-home --home-dir / \
			--shell /usr/sbin/nologin --comment "$2" "$1"
}

# libvirt's QEMU driver looks this user up at its start, even if no VM runs as it; the package
# that would make it brings a daemon that Mayfly does not need. The comment is how ./quickstart
# --remove knows it again.
LIBVIRT_USER=libvirt-qemu
LIBVIRT_USER_COMMENT='Libvirt Qemu (made by Mayfly)'
DPKG_SCRIPTS=/var/lib/dpkg/info

make_libvirt_user() {
	make_system_user "$LIBVIRT_USER" "$LIBVIRT_USER_COMMENT"
}

# Unless another made it, or a Debian package came to rely on it since.
remove_libvirt_user() {
	local entry
	entry=$(getent passwd "$LIBVIRT_USER") || return 0
	if [ "$(cut -d: -f5 <<<"$entry")" != "$LIBVIRT_USER_COMMENT" ]; then
		say "the user $LIBVIRT_USER stays: it was not made by Mayfly"
	elif grep -qs "$LIBVIRT_USER" "$DPKG_SCRIPTS"/*.postinst; then
		say "the user $LIBVIRT_USER stays: a Debian package uses it now"
	else
		userdel "$LIBVIRT_USER"
	fi
}
