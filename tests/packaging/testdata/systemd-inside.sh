# Runs as a unit of the systemd that systemd.sh starts; the last line of verdict
# is what the test reads.
exec >/verdict 2>&1
finish() {
	echo "$*"
	systemctl exit 0
	exit
}
fail() {
	systemctl status twinbeat --no-pager -l
	twinbeat events -n 20
	finish "FAILED: $*"
}
show() { systemctl show --value -p "$1" twinbeat; }
wait_for() {
	for _ in $(seq $(($1 * 10))); do
		"${@:2}" && return
		sleep 0.1
	done
	fail "never: ${*:2}"
}
owns() { [[ $(show StatusText) == *"g ACTIVE"* ]]; }
active() { [[ $(show ActiveState) == active ]]; }
adopted() { twinbeat events -n 0 --json | grep -c '"evidence":"adopted"'; }
became() { tr '\0' '\n' <"/proc/$1/environ" | sed -n 's/^TWINBEAT_BECAME=//p'; }
another() { [[ $(became "$1") != "$2" ]] && active; }
changed() { local pid; pid=$(show MainPID); [[ $pid != 0 && $pid != "$1" ]] && active; }

wait_for 10 active
wait_for 60 owns # told by sd_notify
[[ $(show Type) == notify && $(show WatchdogUSec) == 30s ]] || fail "type $(show Type), watchdog $(show WatchdogUSec)"

old=$(show MainPID)
systemctl restart twinbeat || fail "restart"
changed "$old" || fail "the old agent still runs"
wait_for 60 owns
for _ in 1 2; do # a busy machine may be too slow for the lease now and then
	[[ $(adopted) == 0 ]] || break
	systemctl restart twinbeat
	wait_for 60 owns
done
[[ $(adopted) -ge 1 ]] || fail "the restarted agent did not keep the group"

old=$(show MainPID)
kill -9 "$old"
wait_for 5 changed "$old" # started again by itself
wait_for 60 owns

old=$(show MainPID)
mkdir /run/systemd/system 2>/dev/null
dpkg --no-triggers -i /run/2.0.deb || fail "upgrade"
wait_for 30 another "$old" ""
[[ $(show MainPID) == "$old" && $(readlink "/proc/$old/exe") != *deleted* ]] || fail "the upgrade left the old agent"
wait_for 60 owns

mkdir -p /etc/systemd/system/twinbeat.service.d
cp /usr/share/doc/twinbeat/examples/strict.conf /etc/systemd/system/twinbeat.service.d/
systemctl daemon-reload
systemctl restart twinbeat || fail "restart with strict.conf"
wait_for 60 owns
grep -q '^NoNewPrivs:.*1' "/proc/$(show MainPID)/status" || fail "strict.conf has no effect"
twinbeat status | grep -q 'kernel gate (nftables)' || fail "no kernel gate with strict.conf"

cat >/etc/systemd/system/twinbeat.service.d/credentials.conf <<END
[Service]
LoadCredential=pair.keys:/etc/twinbeat/keys
END
sed -i '1i key_file = "/run/credentials/twinbeat.service/pair.keys"' /etc/twinbeat/twinbeat.toml
systemctl daemon-reload
systemctl restart twinbeat || fail "restart with a credential: $(show ExecMainCode) $(show ExecMainStatus)"
wait_for 60 owns
twinbeat check >/dev/null || fail "check with a credential"

echo broken >>/etc/twinbeat/twinbeat.toml
systemctl restart twinbeat
sleep 1
active && fail "runs with a broken configuration"
(($(show NRestarts) < 3)) || fail "$(show NRestarts) restarts within a second: no pause"
sed -i '$d' /etc/twinbeat/twinbeat.toml
wait_for 10 active # by itself, once the configuration is well
wait_for 60 owns

systemctl stop twinbeat || fail "stop"
ip address show dev eth0 | grep -q 192.0.2.1/ && fail "the address was left"
dpkg --no-triggers -P twinbeat || fail "purge"
[[ -e /etc/twinbeat ]] && fail "purge left the configuration"
[[ -z $(systemctl list-unit-files --no-legend 'twinbeat*') ]] || fail "purge left the unit"
finish "well"
