# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Debian packages of the guest's release, whatever the host's: a private apt (its own lists and
# an empty dpkg status) with the host's mirror, proxy and credentials. Nothing is installed on
# the host.

readonly GUEST_RELEASE=trixie
readonly GUEST_COMPONENT=main
readonly DEFAULT_MIRROR=http://deb.debian.org/debian
readonly KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# Lines "URI SUITE" of the host's Debian sources, in their order. Before the first apt-get
# update on the host apt does not know a source's origin; then the suite's name decides.
host_sources() {
	local codename
	codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
	# shellcheck disable=SC2016
	apt-get indextargets --format '$(REPO_URI)|$(RELEASE)|$(ORIGIN)|$(COMPONENT)' \
		'Created-By: Packages' 2>/dev/null |
		awk -F'|' -v codename="$codename" '
			$4 != "main" { next }
			$3 != "" && $3 != "Debian" { next }
			$2 !~ "^(" codename "|stable)(-updates|-security)?$" { next }
			{ sub(/\/$/, "", $1); print $1, $2 }' |
		awk '!seen[$0]++'
}

# The guest's sources.list: the host's mirrors with the guest's suites.
guest_sources() {
	local uri suite lines
	[ -r "$KEYRING" ] || die "$KEYRING is missing: install debian-archive-keyring"
	lines=$(host_sources | while read -r uri suite; do
		case $suite in
		*-security) suite=$GUEST_RELEASE-security ;;
		*-updates) suite=$GUEST_RELEASE-updates ;;
		*) suite=$GUEST_RELEASE ;;
		esac
		echo "deb [signed-by=$KEYRING] $uri $suite $GUEST_COMPONENT"
	done | awk '!seen[$0]++')
	grep -q " $GUEST_RELEASE $GUEST_COMPONENT\$" <<<"$lines" ||
		lines="deb [signed-by=$KEYRING] $DEFAULT_MIRROR $GUEST_RELEASE $GUEST_COMPONENT"$'\n'$lines
	sed '/^$/d' <<<"$lines"
}

apt_setup() {
	APT_ROOT=$CACHE/apt
	mkdir -p "$APT_ROOT"/{lists/partial,archives/partial}
	: >"$APT_ROOT/status"
	guest_sources >"$APT_ROOT/sources.list.new"
	# Other sources make the lists that are here meaningless.
	cmp -s "$APT_ROOT/sources.list.new" "$APT_ROOT/sources.list" || rm -f "$CACHE"/resolved/*
	mv "$APT_ROOT/sources.list.new" "$APT_ROOT/sources.list"
	# What mmdebstrap's own apt must know of the host's: how to reach the mirror.
	apt-config dump | grep -E '^Acquire::(http|https|ftp|Retries|Check-Valid-Until|ForceIPv)' \
		>"$APT_ROOT/network.conf" || :
	APT_OPTIONS=(
		-o "Dir::State::lists=$APT_ROOT/lists" -o "Dir::State::status=$APT_ROOT/status"
		-o "Dir::Cache::archives=$APT_ROOT/archives"
		-o "Dir::Cache::pkgcache=$APT_ROOT/pkgcache.bin"
		-o "Dir::Cache::srcpkgcache=$APT_ROOT/srcpkgcache.bin"
		-o "Dir::Etc::sourcelist=$APT_ROOT/sources.list" -o "Dir::Etc::sourceparts=/dev/null"
		-o "Dir::Etc::preferences=/dev/null" -o "Dir::Etc::preferencesparts=/dev/null"
		-o "APT::Architecture=amd64" -o "APT::Architectures=amd64"
		-o "APT::Install-Recommends=false" -o "APT::Sandbox::User=root"
		-o "Dpkg::Use-Pty=false" -o "APT::Update::Error-Mode=any"
	)
}

guest_apt() {
	local program=$1
	shift
	"$program" "${APT_OPTIONS[@]}" "$@"
}

# resolve_packages NAME PACKAGE…: writes "package version" of all that would be installed to
# resolved/NAME. Asks the mirror at most once per run, and not at all while what was
# found out for the same packages is younger than a day (or the mirror cannot be reached).
resolve_packages() {
	local file=$CACHE/resolved/$1 want known=false
	shift
	want="# $*"
	mkdir -p "$CACHE/resolved"
	[ ! -s "$file" ] || [ "$(head -n1 "$file")" != "$want" ] || known=true
	if $known && ! $REFRESH && [ -n "$(find "$file" -newermt '-24 hours')" ]; then
		return
	fi
	if ! apt_update_once; then
		$known || die "the Debian mirror cannot be reached: $(tail -n1 "$CACHE/apt-update.log")"
		warn "the Debian mirror cannot be reached; using the versions of $(date -r "$file" +%F)"
		return
	fi
	guest_apt apt-get --simulate install "$@" >"$file.log" 2>&1 ||
		die "apt cannot resolve $*: $(tail -n1 "$file.log")"
	{
		echo "$want"
		sed -n 's/^Inst \([^ ]*\) (\([^ ]*\) .*/\1 \2/p' "$file.log" | LC_ALL=C sort
	} >"$file.new"
	[ "$(wc -l <"$file.new")" -gt 1 ] || die "apt found nothing for $*"
	mv "$file.new" "$file"
	rm -f "$file.log"
}

APT_UPDATED=
apt_update_once() {
	if [ -z "$APT_UPDATED" ]; then
		say "asking the mirror for package versions ($(awk '{ print $3; exit }' "$APT_ROOT/sources.list"))"
		if guest_apt apt-get update >"$CACHE/apt-update.log" 2>&1; then
			APT_UPDATED=yes
		else
			APT_UPDATED=failed
		fi
	fi
	[ "$APT_UPDATED" = yes ]
}

resolved_digest() {
	sha256_of_file "$CACHE/resolved/$1"
}

resolved_packages() {
	sed -n '/^#/!p' "$CACHE/resolved/$1"
}

# Into archives/: all packages of resolved/NAME, with apt's signature and digest checks.
download_packages() {
	local log=$CACHE/download-$1.log
	resolved_packages "$1" | sed 's/ /=/' |
		xargs -r apt-get "${APT_OPTIONS[@]}" --yes --download-only install >"$log" 2>&1 ||
		die "download failed: $(tail -n1 "$log") (run again with --refresh if the mirror changed)"
}
