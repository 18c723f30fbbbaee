# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# The guest's kernel, from Debian's cloud kernel package, and the initramfs with mayfly-init.

# What a microVM needs before its root is mounted; what they depend on is found.
readonly GUEST_MODULES="virtio_mmio virtio_blk virtio_console virtio_rng crc32c_generic erofs ext4"

# extract_vmlinux BZIMAGE OUT: the ELF inside, found by the boot header (Documentation/arch/x86/boot.rst:
# setup_sects at 0x1f1, payload_offset at 0x248, payload_length at 0x24c).
extract_vmlinux() {
	local image=$1 out=$2 sectors offset length start magic program
	sectors=$(od -An -tu1 -j $((0x1f1)) -N1 "$image" | tr -d ' ')
	offset=$(od -An -tu4 -j $((0x248)) -N4 "$image" | tr -d ' ')
	length=$(od -An -tu4 -j $((0x24c)) -N4 "$image" | tr -d ' ')
	start=$(((sectors + 1) * 512 + offset))
	magic=$(od -An -tx1 -j "$start" -N4 "$image" | tr -d ' ')
	case $magic in
	fd377a58) program="xz -dc --single-stream" ;;
	28b52ffd) program="zstd -dc" ;;
	1f8b*) program="gzip -dc" ;;
	02214c18) program="lz4 -dc" ;;
	*) die "kernel payload with unknown compression $magic" ;;
	esac
	# Behind the stream stand four bytes with its unpacked size, about which unpackers complain.
	$program < <(tail -c +$((start + 1)) "$image" | head -c $((length - 4))) >"$out" ||
		die "cannot unpack the kernel"
	[ "$(od -An -tx1 -N4 "$out" | tr -d ' ')" = 7f454c46 ] || die "the kernel holds no ELF image"
	LC_ALL=C grep -q -a -F Xen "$out" || die "the kernel has no PVH entry"
}

module_decompress() {
	case $1 in
	*.ko.xz) xz -dc "$1" ;;
	*.ko.zst) zstd -dqc "$1" ;;
	*.ko.gz) gzip -dc "$1" ;;
	*.ko) cat "$1" ;;
	esac
}

# module_file TREE NAME: path of the module, dashes and underscores being the same.
module_file() {
	find "$1" -name '*.ko*' -print | awk -v want="$2" -F/ '
		{ name = $NF; sub(/\.ko.*/, "", name); gsub("-", "_", name) }
		name == want && !seen++'
}

# module_add TREE NAME OUT: unpacks NAME after all that it depends on.
module_add() {
	local tree=$1 name=${2//-/_} out=$3 file dependency
	[ ! -e "$out/$name.ko" ] || return 0
	if sed 's,.*/,,; s,\.ko.*,,; s,-,_,g' "$tree/modules.builtin" | grep -x "$name" >/dev/null; then
		return 0
	fi
	file=$(module_file "$tree" "$name")
	[ -n "$file" ] || die "the kernel package has no module $name"
	module_decompress "$file" >"$out/$name.ko"
	for dependency in $(tr '\0' '\n' <"$out/$name.ko" |
		LC_ALL=C sed -n 's/^depends=\([A-Za-z0-9_,-]*\)$/\1/p' | tr ',' ' '); do
		module_add "$tree" "$dependency" "$out"
	done
	echo "$name.ko" >>"$out/order"
}

# Where the resolved kernel package is unpacked to: vmlinux, release, modules/.
kernel_dir() {
	echo "$CACHE/kernels/$(key_of "$SCRIPT_DIGEST" "$(resolved_digest kernel)" | cut -c1-16)"
}

build_kernel() {
	local dir work package version deb release tree name
	dir=$(kernel_dir)
	[ ! -e "$dir" ] || return 0
	read -r package version < <(resolved_packages kernel | grep -E '^linux-image-[0-9].*-cloud-amd64 ')
	[ -n "$package" ] || die "no kernel package was found"
	say "kernel: downloading $package $version"
	work=$CACHE/unpacked/kernel
	rm -rf "$work" && mkdir -p "$work/out/modules" "$CACHE/kernels"
	(cd "$work" && guest_apt apt-get download "$package=$version" >download.log 2>&1) ||
		die "kernel download failed: $(tail -n1 "$work/download.log")"
	deb=$(echo "$work"/*.deb)
	say "kernel: unpacking"
	dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$work" --wildcards './boot/vmlinuz-*' './*lib/modules/*'
	release=$(basename "$work"/boot/vmlinuz-*)
	release=${release#vmlinuz-}
	extract_vmlinux "$work/boot/vmlinuz-$release" "$work/out/vmlinux"
	tree=$work/usr/lib/modules/$release
	[ -d "$tree" ] || tree=$work/lib/modules/$release
	for name in $GUEST_MODULES; do
		module_add "$tree" "$name" "$work/out/modules"
	done
	[ -s "$work/out/modules/order" ] || : >"$work/out/modules/order"
	echo "$release" >"$work/out/release"
	mv "$work/out" "$dir"
	rm -rf "$work"
}

# build_initramfs OUT: /init and /modules, plain newc, the same bytes for the same content.
build_initramfs() {
	local out=$1 work=$CACHE/unpacked/initramfs
	rm -rf "$work" && mkdir -p "$work/modules"
	install -m 0755 "$GUEST/mayfly-init" "$work/init"
	install -m 0644 "$(kernel_dir)"/modules/* "$work/modules/"
	find "$work" -exec touch -h -d @0 {} +
	chmod 0755 "$work" "$work/modules"
	(cd "$work" && find . -mindepth 1 -printf '%P\n' | LC_ALL=C sort |
		cpio --quiet -o -H newc --reproducible -R 0:0) >"$out"
	rm -rf "$work"
}
