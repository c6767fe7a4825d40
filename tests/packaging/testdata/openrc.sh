# The script of OpenRC under OpenRC's own programs.
. "$(dirname "$0")/box.sh"
for p in openrc libeinfo1 librc1; do # unpacked: openrc wants to be this machine's init
	for d in bin sbin lib etc usr; do
		[ ! -d "/var/cache/twinbeat-tests/$p/$d" ] || cp -a "/var/cache/twinbeat-tests/$p/$d/." "$box/$d/"
	done
done
in_box ldconfig
for d in starting started stopping inactive wasinactive failed hotplugged daemons options exclusive scheduled tmp; do
	mkdir -p "$box/run/openrc/$d"
done
touch "$box/run/openrc/softlevel" "$box/etc/insserv.conf"
rm -rf "$box/etc/init.d"
mkdir "$box/etc/init.d"
printf '#!/sbin/openrc-run\nstart() { :; }\n' >"$box/etc/init.d/localmount"
chmod 755 "$box/etc/init.d/localmount"
try_dpkg --force-confnew -i /run/1.0.deb
install -m 755 "$box/usr/share/doc/twinbeat/examples/twinbeat.openrc" "$box/etc/init.d/twinbeat"
agents() { ps -eo pid=,args= | sed -n 's,^ *\([0-9]*\) /usr/sbin/twinbeat run.*,\1,p'; }
other_than() { [ -n "$(agents)" ] && [ "$(agents)" != "$1" ]; }

configure
expect 0 in_box rc-service twinbeat start
wait_for 60 owns
first=$(agents)
expect 0 in_box rc-service twinbeat restart
wait_for 30 another "$first" ""
[ "$(agents)" = "$first" ] || fail "another process runs"
wait_for 60 owns

second=$(agents)
kill -9 "$second" # its supervisor starts another
wait_for 5 other_than "$second"
wait_for 60 owns

third=$(agents)
cp "$box/etc/twinbeat/twinbeat.toml" "$box/run/well.toml"
echo 'colour = "red"' >>"$box/etc/twinbeat/twinbeat.toml"
expect 1 in_box rc-service twinbeat restart # what the program refuses stops nothing
[ "$(agents)" = "$third" ] || fail "the old agent does not run"
cp "$box/run/well.toml" "$box/etc/twinbeat/twinbeat.toml"

expect 0 in_box rc-service twinbeat stop
[ -z "$(agents)" ] || fail "runs after stop"
ip address show dev eth0 | grep -q 192.0.2.1/ && fail "the address was left"
expect 0 in_box rc-service twinbeat restart # of one that is stopped
wait_for 60 owns
expect 0 in_box rc-service twinbeat stop
echo "well"
