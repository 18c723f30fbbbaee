# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Words that every step uses: progress, failing, digests, atomic output.

say() {
	printf '[%4ds] %s\n' "$SECONDS" "$*"
}

warn() {
	printf '[%4ds] warning: %s\n' "$SECONDS" "$*" >&2
}

die() {
	printf 'build-images: %s\n' "$*" >&2
	exit 1
}

need_programs() {
	local program missing=()
	for program in "$@"; do
		command -v "$program" >/dev/null || missing+=("$program")
	done
	[ ${#missing[@]} -eq 0 ] || die "missing programs: ${missing[*]} (see --help)"
}

sha256_of_file() {
	sha256sum <"$1" | cut -d' ' -f1
}

# One digest over names, modes, link targets and contents below a folder (or of one file).
sha256_of_tree() {
	[ -e "$1" ] || {
		echo none
		return
	}
	(
		cd "$(dirname "$1")" || exit 1
		find "$(basename "$1")" -name __pycache__ -prune -o -printf '%p %y %m %l\n' | LC_ALL=C sort
		find "$(basename "$1")" -name __pycache__ -prune -o -type f -print0 | LC_ALL=C sort -z |
			xargs -0 -r sha256sum
	) | sha256sum | cut -d' ' -f1
}

# {"file": NAME, "sha256": …, "size": …} without the braces, for images.json.
json_of_file() {
	printf '"file": "%s", "sha256": "%s", "size": %s' "$1" "$(sha256_of_file "$2")" \
		"$(stat -c %s "$2")"
}

key_of() {
	echo "$*" | sha256sum | cut -d' ' -f1
}

# Only such words ever get into images.json, so that it needs no escaping.
check_word() {
	[[ $1 =~ ^[A-Za-z0-9._+~:-]*$ ]] || die "unexpected character in '$1'"
}
