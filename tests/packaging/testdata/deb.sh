# The package's life under sysvinit's rules: install, upgrade, remove, purge.
. "$(dirname "$0")/box.sh"
rm -f "$box/sbin/runlevel"
printf '#!/bin/sh\necho N 2\n' >"$box/sbin/runlevel"
chmod 755 "$box/sbin/runlevel"
pid() { cat "$box/run/twinbeat.pid"; }

try_dpkg -i /run/1.0.deb
expect 6 in_box /etc/init.d/twinbeat start # no configuration yet
expect 3 in_box /etc/init.d/twinbeat status
configure
expect 0 in_box /etc/init.d/twinbeat start
expect 0 in_box /etc/init.d/twinbeat start # twice is no error
wait_for 60 owns
expect 0 in_box /etc/init.d/twinbeat status

first=$(pid)
expect 0 in_box /etc/init.d/twinbeat restart
[ "$(pid)" = "$first" ] && [ -n "$(became "$first")" ] || fail "restart left the old agent"
wait_for 60 owns
for _ in 1 2; do # a busy machine may be too slow for the lease now and then
	[ "$(adopted)" = 0 ] || break
	in_box /etc/init.d/twinbeat restart
	wait_for 60 owns
done
[ "$(adopted)" -ge 1 ] || fail "the restarted agent did not keep the group"
wait_for 5 in_box sh -c '! ls /run/twinbeat.log.*' # the log's pipe has no name any more

was=$(became "$first")
try_dpkg -i /run/2.0.deb
another "$first" "$was" || fail "the upgrade left the old agent"
case $(readlink "/proc/$first/exe") in *deleted*) fail "the old program runs" ;; esac
wait_for 60 owns

cp "$box/etc/default/twinbeat" "$box/run/default"
echo "OPTIONS='--log-level warn'" >>"$box/etc/default/twinbeat"
expect 0 in_box /etc/init.d/twinbeat restart # other options: another process
[ "$(pid)" != "$first" ] || fail "restart left the old options"
wait_for 60 owns
cp "$box/run/default" "$box/etc/default/twinbeat"
expect 0 in_box /etc/init.d/twinbeat restart
wait_for 60 owns

third=$(pid)
cp "$box/etc/twinbeat/twinbeat.toml" "$box/run/well.toml"
echo 'colour = "red"' >>"$box/etc/twinbeat/twinbeat.toml"
expect 6 in_box /etc/init.d/twinbeat restart # what the program refuses stops nothing
try_dpkg -i /run/1.0.deb
[ "$(pid)" = "$third" ] && [ -d "/proc/$third" ] || fail "the old agent does not run"
cp "$box/run/well.toml" "$box/etc/twinbeat/twinbeat.toml"

kill -9 "$third"
expect 1 in_box /etc/init.d/twinbeat status # dead, and a pid file
expect 0 in_box /etc/init.d/twinbeat start
wait_for 60 owns
expect 2 in_box /etc/init.d/twinbeat bogus
echo "OPTIONS='--log-level debug'" >>"$box/etc/default/twinbeat"

last=$(pid)
try_dpkg -r twinbeat
[ ! -d "/proc/$last" ] || fail "the agent outlived its package"
ip address show dev eth0 | grep -q 192.0.2.1/ && fail "the address was left"
for f in etc/twinbeat/keys etc/twinbeat/twinbeat.toml var/lib/twinbeat/state.a etc/default/twinbeat; do
	[ -e "$box/$f" ] || fail "remove took $f"
done
try_dpkg -i /run/2.0.deb
grep -q debug "$box/etc/default/twinbeat" || fail "a changed conffile was replaced"
wait_for 60 owns # installed again with its configuration: it runs
try_dpkg -P twinbeat
for f in etc/twinbeat var/lib/twinbeat etc/default/twinbeat etc/init.d/twinbeat run/twinbeat.sock; do
	[ ! -e "$box/$f" ] || fail "purge left $f"
done
find "$dir/upper/etc" "$dir/upper/usr" "$dir/upper/var" -name '*twinbeat*' ! -type c ! -path '*/dpkg/*' | grep . && fail "purge left these"
echo "well"
