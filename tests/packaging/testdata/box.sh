# A Debian box that can be thrown away: this machine's root under an overlay, in
# namespaces of its own. Sourced by a script with arguments DIR DEB. Sets box,
# and functions.
set -eu
dir=$1/disk deb=$2 box=$1/disk/root
mkdir "$dir"
mount -t tmpfs tmpfs "$dir"
mkdir "$dir/upper" "$dir/work" "$box"
mount -t overlay overlay -o "lowerdir=/,upperdir=$dir/upper,workdir=$dir/work" "$box"
mount -t tmpfs tmpfs "$box/run"
mount -t tmpfs tmpfs "$box/tmp"
mount -t proc proc "$box/proc"
mount --rbind /dev "$box/dev"
mkdir "$box/run/lock"
rm -f "$box/usr/sbin/policy-rc.d"
rm -rf "$box/etc/twinbeat" "$box/var/lib/twinbeat"
dpkg-deb -R "$deb" "$dir/x"
for v in 1.0 2.0; do
	sed -i "s/^Version:.*/Version: $v/" "$dir/x/DEBIAN/control"
	dpkg-deb -Znone -b "$dir/x" "$box/run/$v.deb" >/dev/null
done
rm -rf "$dir/x"
ip link set lo up
ip link add eth0 type veth peer name eth1
ip link set eth0 up
ip link set eth1 up
ip address add 192.0.2.11/24 dev eth0

in_box() { chroot "$box" "$@"; }
try_dpkg() { in_box dpkg --no-triggers "$@"; }
fail() {
	echo "FAILED: $*"
	in_box twinbeat check 2>&1 | tail -5 || true
	in_box twinbeat events -n 30 2>&1 | tail -40 || true
	exit 1
}
# expect CODE COMMAND...: the command ends with that exit code.
expect() {
	want=$1
	shift
	got=0
	"$@" || got=$?
	[ "$got" = "$want" ] || fail "exit code $got of $*, want $want"
}
# wait_for SECONDS COMMAND...
wait_for() {
	n=$(($1 * 10))
	shift
	until "$@" >/dev/null 2>&1; do
		n=$((n - 1))
		[ $n -gt 0 ] || fail "never: $*"
		sleep 0.1
	done
}
owns() { in_box twinbeat status --json 2>/dev/null | grep -q '"state":"\(ACTIVE\|SOLO\)"'; }
# became PID prints when the process was another agent until; nothing: it never was.
became() { tr '\0' '\n' <"/proc/$1/environ" | sed -n 's/^TWINBEAT_BECAME=//p'; }
another() { [ "$(became "$1")" != "$2" ]; }
adopted() { in_box twinbeat events -n 0 --json 2>/dev/null | grep -c '"evidence":"adopted"'; }
configure() {
	mkdir -p "$box/etc/twinbeat"
	cat >"$box/etc/twinbeat/twinbeat.toml" <<END
cluster = "box"
profile = "slow"
[[node]]
name = "$(hostname)"
[[node]]
name = "peer-of-this"
[[link]]
type = "multicast"
interface = "eth0"
group = "239.255.77.1"
[timing]
boot_wait = "3s"
[[group]]
name = "g"
addresses = ["192.0.2.1/24@eth0"]
END
	in_box twinbeat keygen --out /etc/twinbeat/keys >/dev/null
}
