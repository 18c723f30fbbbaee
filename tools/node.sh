# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Installing, starting and stopping a node on this machine, for quickstart. To be sourced after
# house.sh; PREFIX is set by the caller.

readonly CONFIG_FILE=/etc/mayfly/mayflyd.conf
readonly STATE_DIR=/var/lib/mayfly
readonly RUN_DIR=/run/mayfly
readonly PID_FILE=$RUN_DIR/mayflyd.pid
readonly LOG_DIR=/var/log/mayfly
readonly LOG_FILE=$LOG_DIR/mayflyd.log
readonly UNIT_FILE=/etc/systemd/system/mayflyd.service
readonly START_LIMIT_S=120
readonly STOP_LIMIT_S=90

systemd_runs() {
	[ -d /run/systemd/system ]
}

node_make_users() {
	getent group mayfly >/dev/null || groupadd --system mayfly
	getent group kvm >/dev/null || groupadd --system kvm
	make_libvirt_user
	make_system_user mayfly-vm 'Mayfly microVMs'
	usermod --append --groups kvm mayfly-vm
}

node_make_config() {
	mkdir -p /etc/mayfly
	install -d -m 0711 "$STATE_DIR"
	[ ! -e "$CONFIG_FILE" ] || return 0
	"$PREFIX/sbin/mayflyd" --print-default-configuration |
		sed 's/^#socket_group =.*/socket_group = mayfly/' >"$CONFIG_FILE.new"
	mv "$CONFIG_FILE.new" "$CONFIG_FILE"
}

# The process of the pid file, if it lives and is ours.
node_pid() {
	local pid
	read -r pid 2>/dev/null <"$PID_FILE" || return 1
	[[ $pid =~ ^[0-9]+$ ]] || return 1
	[ "$(cat "/proc/$pid/comm" 2>/dev/null)" = mayflyd ] || return 1
	echo "$pid"
}

node_start() {
	"$PREFIX/sbin/mayflyd" --check-config >/dev/null || die "$CONFIG_FILE has problems"
	if systemd_runs; then
		ln -sf "$PREFIX/lib/systemd/system/mayflyd.service" "$UNIT_FILE"
		systemctl daemon-reload
		systemctl enable --quiet mayflyd.service
		systemctl restart mayflyd.service || {
			journalctl -u mayflyd.service -n 20 --no-pager >&2
			die "mayflyd did not start"
		}
		return
	fi
	mkdir -p "$RUN_DIR" "$LOG_DIR"
	chmod 0755 "$RUN_DIR"
	node_stop
	setsid "$PREFIX/sbin/mayflyd" </dev/null >>"$LOG_FILE" 2>&1 &
	echo $! >"$PID_FILE"
}

# Until the node answers; what it said of itself is shown when it does not.
node_wait() {
	local deadline=$((SECONDS + START_LIMIT_S))
	until "$PREFIX/bin/mayfly" node >/dev/null 2>&1; do
		if ! systemd_runs && ! node_pid >/dev/null; then
			tail -20 "$LOG_FILE" >&2
			die "mayflyd ended (see $LOG_FILE)"
		fi
		if [ $SECONDS -ge $deadline ]; then
			node_log_tail >&2
			die "mayflyd does not answer after $START_LIMIT_S s"
		fi
		sleep 0.2
	done
}

node_log_tail() {
	if systemd_runs; then
		journalctl -u mayflyd.service -n 20 --no-pager
	else
		tail -20 "$LOG_FILE"
	fi
}

node_stop() {
	local pid
	if systemd_runs; then
		[ ! -e "$UNIT_FILE" ] || systemctl stop mayflyd.service
		return
	fi
	pid=$(node_pid) || {
		rm -f "$PID_FILE"
		return 0
	}
	kill -TERM "$pid"
	# tail ends with the process it watches.
	timeout $STOP_LIMIT_S tail --pid="$pid" -f /dev/null || {
		warn "mayflyd (process $pid) did not stop in $STOP_LIMIT_S s and is killed"
		kill -KILL "$pid"
	}
	rm -f "$PID_FILE"
}
