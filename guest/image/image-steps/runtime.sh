# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Runtime images: a base tree of Debian packages, kept in the cache, plus Mayfly's shim in
# /var/runtime, as one read-only erofs.

# shellcheck disable=SC2034 # of build-images
readonly RUNTIMES="python3.13 nodejs20.x provided.al2023"
readonly IMAGE_TIME=1735689600 # of every file: same inputs, same bytes
readonly IMAGE_UUID_NAMESPACE=6d617966-6c79-4000-8000

# What Lambda's images have in common: a shell (their /bin/sh is bash), the usual small tools,
# certificates, time zones.
readonly COMMON_PACKAGES="base-files libc-bin bash coreutils ca-certificates tzdata"

runtime_packages() {
	case $1 in
	python3.13) echo "$COMMON_PACKAGES python3.13" ;;
	nodejs20.x) echo "$COMMON_PACKAGES nodejs" ;;
	# What a bootstrap may need: Lambda's own tutorial for custom runtimes calls curl, grep,
	# sed, tr and cut; Rust and C++ programs need libgcc and libstdc++.
	provided.al2023) echo "$COMMON_PACKAGES grep sed findutils gzip tar curl libstdc++6 zlib1g" ;;
	*) die "unknown runtime $1" ;;
	esac
}

runtime_kind() {
	case $1 in
	python*) echo python ;;
	nodejs*) echo nodejs ;;
	provided*) echo provided ;;
	esac
}

runtime_shim() {
	echo "$GUEST/runtimes/$(runtime_kind "$1")"
}

# Nothing that a program does not read at run time.
runtime_trim() {
	local root=${1:?}
	rm -rf "${root:?}"/usr/share/{doc,man,info,locale,lintian,perl5,menu,pixmaps,bug,gdb,gcc} \
		"${root:?}"/usr/share/{base-files,debconf,debianutils,binfmts,applications,libc-bin} \
		"${root:?}"/usr/share/{bash-completion,doc-base,fish,zsh,polkit-1} \
		"${root:?}"/usr/share/nodejs/corepack "${root:?}"/usr/lib/{binfmt.d,tmpfiles.d,sysusers.d,systemd} \
		"${root:?}"/usr/share/python3/{debpython,runtime.d} "${root:?}"/usr/lib/x86_64-linux-gnu/{audit,perl-base} \
		"${root:?}"/etc/{apt,dpkg,skel,update-motd.d,debconf.conf,default,fstab,motd,issue,issue.net} \
		"${root:?}"/etc/{hostname,machine-id} "${root:?}"/usr/sbin/ldconfig "${root:?}"/usr/bin/corepack \
		"${root:?}"/{boot,media,root,srv} \
		"${root:?}"/var/{lib/{apt,dpkg,misc},cache,log,backups,spool,local,lock,run,mail,tmp}
	# glibc's converters, but those which programs that speak Unicode ask for.
	find "$root/usr/lib/x86_64-linux-gnu/gconv" -type f ! -name 'gconv-modules*' ! -name 'UTF-*' \
		! -name 'UNICODE*' ! -name 'ISO8859-1.so' ! -name 'ISO8859-15.so' -delete 2>/dev/null || :
	rm -rf "${root:?}"/{tmp,run,dev,proc,sys}/* "${root:?}"/.*-stamp
	mkdir -p "${root:?}"/{dev,proc,sys,run,tmp,opt,mnt,home,root,etc} \
		"${root:?}"/var/{task,runtime,lang/bin,lang/lib,log,cache,lib}
	chmod 0755 "${root:?}"/{dev,proc,sys,run,opt,mnt,home} "${root:?}"/var/{task,runtime,lang}
	chmod 0700 "$root/root"
	chmod 1777 "$root/tmp"
	ln -s /tmp "$root/var/tmp"
	ln -s /run "$root/var/run"
}

runtime_accounts() {
	local root=$1
	cat >"$root/etc/passwd" <<-'END'
		root:x:0:0:root:/root:/bin/bash
		sbx_user1051:x:993:990::/home/sbx_user1051:/sbin/nologin
		nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
	END
	printf '%s\n' root:x:0: tty:x:5: sbx_user1051:x:990: nogroup:x:65534: >"$root/etc/group"
	printf '%s\n' '127.0.0.1 localhost' '::1 localhost' >"$root/etc/hosts"
	printf '%s\n' 'passwd: files' 'group: files' 'hosts: files dns' 'services: files' \
		'protocols: files' >"$root/etc/nsswitch.conf"
	rm -f "$root/etc/resolv.conf"
	: >"$root/etc/resolv.conf"
	ln -sf /usr/share/zoneinfo/UTC "$root/etc/localtime"
	# Lambda sets LANG=en_US.UTF-8; C.UTF-8 under that name spares 3 MB of collation tables.
	[ -e "$root/usr/lib/locale/en_US.utf8" ] || ln -s C.utf8 "$root/usr/lib/locale/en_US.utf8"
}

# What the packages' own scripts would have done: extracting runs none of them.
runtime_configure() {
	local root=$1 certificate
	ln -sf bash "$root/usr/bin/sh"
	[ -e "$root/usr/bin/awk" ] || [ ! -e "$root/usr/bin/mawk" ] || ln -s mawk "$root/usr/bin/awk"
	mkdir -p "$root/etc/ssl/certs"
	find "$root/usr/share/ca-certificates/mozilla" -name '*.crt' | LC_ALL=C sort |
		while read -r certificate; do
			cat "$certificate"
			ln -sf "${certificate#"$root"}" \
				"$root/etc/ssl/certs/$(basename "$certificate" .crt).pem"
		done >"$root/etc/ssl/certs/ca-certificates.crt"
	chroot "$root" /usr/bin/openssl rehash /etc/ssl/certs >/dev/null 2>&1 || :
	rm -f "$root"/etc/ssl/certs/*.pem.old
	[ -n "$(find "$root/etc/ssl/certs" -name '*.0' -print -quit)" ] || die "no certificate hashes were made"
}

runtime_language() {
	local root=$1 name=$2
	case $(runtime_kind "$name") in
	python)
		ln -sf python3.13 "$root/usr/bin/python3"
		ln -s /usr/bin/python3.13 "$root/var/lang/bin/python3.13"
		ln -s python3.13 "$root/var/lang/bin/python3"
		ln -s python3.13 "$root/var/lang/bin/python"
		ln -s /usr/lib/python3.13 "$root/var/lang/lib/python3.13"
		rm -rf "$root"/usr/lib/python3.13/{test,idlelib,turtledemo,tkinter,config-3.13-*}
		compile_python "$root" /usr/lib/python3.13
		;;
	nodejs)
		ln -s /usr/bin/node "$root/var/lang/bin/node"
		;;
	esac
}

# Byte code that is never compared with its source, so that no time matters; the same bytes
# every time (fixed hash seed, one process).
compile_python() {
	local root=$1 folder=$2
	find "$root$folder" -name __pycache__ -type d -prune -exec rm -rf {} +
	chroot "$root" /usr/bin/env -i PYTHONHASHSEED=0 PYTHONDONTWRITEBYTECODE=1 LC_ALL=C.UTF-8 \
		/usr/bin/python3.13 -I -m compileall -q -j 1 --invalidation-mode unchecked-hash \
		"$folder" || die "cannot compile $folder"
}

runtime_version() {
	local root=$1
	case $(runtime_kind "$2") in
	python) chroot "$root" /var/lang/bin/python3.13 -I -c 'import platform; print(platform.python_version())' ;;
	nodejs) chroot "$root" /var/lang/bin/node --version | sed 's/^v//' ;;
	*) sed -n 's/^VERSION_ID="\(.*\)"/\1/p' "$root/etc/os-release" ;;
	esac
}

runtime_base_dir() {
	echo "$CACHE/bases/$1-$(key_of "$SCRIPT_DIGEST" "$(resolved_digest "$1")" | cut -c1-16)"
}

# build_base NAME: the tree of a runtime without the shim. Its folder appears when it is whole.
build_base() {
	local name=$1 base work root include
	base=$(runtime_base_dir "$name")
	[ ! -e "$base" ] || return 0
	work=$CACHE/unpacked/$name root=$CACHE/unpacked/$name/root
	rm -rf "$work" && mkdir -p "$root" "$CACHE/bases"
	say "$name: unpacking $(resolved_packages "$name" | wc -l) packages"
	include=$(runtime_packages "$name")
	TMPDIR=$work mmdebstrap --quiet --mode=root --variant=extract --format=directory \
		--architectures=amd64 --keyring="$KEYRING" --aptopt="$APT_ROOT/network.conf" \
		--aptopt='APT::Install-Recommends "false"' --aptopt='APT::Sandbox::User "root"' \
		--include="${include// /,}" \
		--skip=download/empty \
		--setup-hook="$HERE/image-steps/link-archives '$APT_ROOT/archives' \"\$1\"" \
		"$GUEST_RELEASE" "$root" "$APT_ROOT/sources.list" >"$work/log" 2>&1 ||
		die "$name: mmdebstrap failed: $(tail -n3 "$work/log")"
	say "$name: trimming and configuring"
	runtime_configure "$root"
	runtime_trim "$root"
	runtime_accounts "$root"
	runtime_language "$root" "$name"
	mkdir -p "$root/usr/share/mayfly"
	resolved_packages "$name" >"$root/usr/share/mayfly/packages"
	runtime_version "$root" "$name" >"$work/version"
	chown -R 0:0 "$root"
	mv "$work/version" "$root.version"
	mkdir "$work/done"
	mv "$root" "$work/done/root"
	mv "$root.version" "$work/done/version"
	mv "$work/done" "$base"
	rm -rf "$work"
}

# build_runtime NAME OUT: base plus shim, as erofs. The tree shares its files with the base by
# hard links; only new files are added to it.
build_runtime() {
	local name=$1 out=$2 base work shim
	base=$(runtime_base_dir "$name")
	work=$CACHE/unpacked/$name-image
	shim=$(runtime_shim "$name")
	rm -rf "$work" && mkdir -p "$work"
	cp -al "$base/root" "$work/root"
	if [ -d "$shim" ]; then
		cp -rL "$shim"/. "$work/root/var/runtime/"
		find "$work/root/var/runtime" -mindepth 1 -type d -exec chmod 0755 {} +
		find "$work/root/var/runtime" -type f -perm /111 -exec chmod 0755 {} +
		find "$work/root/var/runtime" -type f ! -perm /111 -exec chmod 0644 {} +
		[ "$(runtime_kind "$name")" != python ] || compile_python "$work/root" /var/runtime
	fi
	mkfs.erofs --quiet -x-1 -T"$IMAGE_TIME" --all-root \
		-U"$IMAGE_UUID_NAMESPACE-$(echo "$name" | sha256sum | cut -c1-12)" \
		"$out" "$work/root" >"$work/log" 2>&1 || die "$name: mkfs.erofs failed: $(tail -n3 "$work/log")"
	rm -rf "$work"
}
