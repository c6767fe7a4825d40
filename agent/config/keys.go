package config

import "time"

// A kind is the type of a key's value.
type kind uint8

const (
	_             kind = iota
	text               // "..."
	number             // an integer
	decimal            // a number with or without a point
	boolean            // true or false
	duration           // a string such as "50ms"
	list               // an array of strings
	textByNode         // a string, or a table with one string for each node
	listByNode         // a table with one array of strings for each node
	addressByNode      // a table with one IP address for each node
	namesByNode        // a table with one array of names for each node, which may be empty
	texts              // an array of strings that are no program
	textsByNode        // the same, or a table with one such array for each node
	textTable          // a table whose names and text are another program's
	section            // [name]
	sections           // [[name]]
	inline             // an array of inline tables
	addresses          // an array of strings or inline tables
)

// A key is one row of the table that the parser, the hints and reference.toml
// are made of.
type key struct {
	path     string // without array indices, such as group.service.start
	kind     kind
	def      string   // default, as TOML; empty: none
	required bool     // within its section
	oneOf    []string // text: the values allowed
	min, max int64    // number; duration: in nanoseconds
	orZero   bool     // zero is allowed although it is less than min
	show     string   // reference.toml: an example, if the default is none or says little
	hidden   bool     // reference.toml: documented in a comment, for it does not go with its neighbours
	more     string   // reference.toml: further examples of this section, after its last key
	doc      string
}

const (
	ms     = int64(time.Millisecond)
	second = int64(time.Second)
	minute = int64(time.Minute)
	hour   = int64(time.Hour)
)

// A heartbeat has 14 bits for lease and window together, in milliseconds.
const (
	maxLease  = 10 * second
	maxWindow = 5 * second
)

// byProfile stands in for the default of a timing key.
const byProfile = "by profile"

// keys is the one list of everything that a file may say, in the order of
// reference.toml.
var keys = concat(pairKeys, timingKeys, linkKeys, groupKeys, serviceKeys, fenceKeys, watchdogKeys, healthKeys, upstreamKeys, bounceKeys, monitorKeys, sensorKeys, chipKeys, notifyKeys)

func concat(parts ...[]key) []key {
	var all []key
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

var pairKeys = []key{
	{path: "cluster", kind: text, required: true, show: `"office"`, doc: "Name of the pair, 1 to 32 of a-z, 0-9 and dash. Frames of another cluster are dropped."},
	{path: "mode", kind: text, oneOf: []string{"fence", "silence", "lease"}, show: `"fence"`, doc: "What a takeover needs. fence: proof that the peer is off. silence: silence on all links; two owners are possible if all links are cut while both live. lease: silence, and an active that nobody acknowledges steps down. Default: fence if there is a fence device, else silence."},
	{path: "profile", kind: text, def: `"default"`, oneOf: []string{"default", "fast", "slow"}, doc: "Set of intervals. default: 115200 baud and Ethernet. fast: serial at 230400 baud or more, realtime. slow: 9600 baud."},
	{path: "key_file", kind: text, def: `"/etc/twinbeat/keys"`, doc: "Keys that sign the heartbeats, mode 0600, the same on both nodes."},
	{path: "state_dir", kind: text, def: `"/var/lib/twinbeat"`, doc: "Where the journal is kept that must survive a reboot."},
	{path: "control_socket", kind: text, def: `"/run/twinbeat.sock"`, doc: "Unix socket of the command line."},
	{path: "control_group", kind: text, def: `""`, doc: "Unix group that may connect to it, apart from root."},
	{path: "realtime", kind: boolean, def: "false", doc: "Keep the agent in memory, and raise an alarm if it cannot have the highest ordinary priority. With profile fast the default is true."},
	{path: "node", kind: sections, required: true, doc: "The two nodes, in the same order on both. A node finds itself by its host name.", more: "[[node]]\nname = \"fw2\""},
	{path: "node.name", kind: text, required: true, show: `"fw1"`, doc: "Host name."},
}

var timingKeys = []key{
	{path: "timing", kind: section, doc: "Intervals, each by profile unless set here; the figures are those of profile default. `twinbeat check` prints the arithmetic."},
	{path: "timing.beat", kind: duration, def: byProfile, min: ms, max: 10 * second, doc: "Between two heartbeats on each link."},
	{path: "timing.dead", kind: duration, def: byProfile, min: ms, max: minute, doc: "Silence on every link after which the peer is suspect and the standby sends CLAIM."},
	{path: "timing.lease", kind: duration, def: byProfile, min: ms, max: maxLease, doc: "Life of the kernel lease: so long after its last refresh the kernel stops answering for the addresses, whatever the agent does."},
	{path: "timing.window", kind: duration, def: byProfile, min: ms, max: maxWindow, doc: "Longest time, kernel-enforced, from the start of a loop turn to the lease refresh that ends it."},
	{path: "timing.takeover", kind: duration, def: byProfile, min: ms, max: minute, doc: "Silence on every link after which an armed standby may take over without a fence. Mode lease has its own, longer default."},
	{path: "timing.probe", kind: duration, def: byProfile, min: ms / 2, max: second, doc: "Between two of the three VIP probes before a takeover without a fence, and after the last. Longer by default if window asks for it and takeover leaves room: half of 14ms + window."},
	{path: "timing.ack", kind: duration, min: ms, max: minute, show: `"250ms"`, doc: "Mode lease: an active that was not acknowledged for so long steps down. Default: dead; profile slow: 700ms."},
	{path: "timing.boot_wait", kind: duration, def: `"10s"`, min: ms, max: hour, doc: "How long a node listens for its peer after boot."},
	{path: "timing.race", kind: duration, min: ms, max: hour, show: `"21s"`, doc: "Head start of the active when both nodes want to fence each other. Default: fence_time, dead, beat and at least one second."},
	{path: "timing.fence_time", kind: duration, min: 10 * ms, max: 10 * minute, show: `"20s"`, doc: "Longest fence operation; a longer one is given up and counts as failed. Each level of devices but the last has half of what is left. Default: 10s (40s with an agent), doubled for each further level."},
	{path: "timing.reserve", kind: duration, def: byProfile, min: ms, max: second, doc: "Slack for the kernel's timer grain (10ms at HZ=100, 4ms at 250, 1ms at 1000) and for scheduling, added in every inequality."},
	{path: "timing.lifetime", kind: duration, def: `"5s"`, min: 2 * second, max: minute, doc: "The kernel removes the addresses if they were not renewed for so long: the second layer behind the lease. Whole seconds."},
}

var linkKeys = []key{
	{path: "link", kind: sections, required: true, doc: "Paths to the peer, up to 8; two or more of different kinds.", more: `# Multicast, IPv4 or IPv6 by its group address.
[[link]]
type = "multicast"
interface = "eth2"
group = "239.255.77.1"
port = 6940

# Unicast, where multicast is not forwarded. Keys that differ between the
# nodes are tables by node name.
[[link]]
type = "unicast"
interface = { fw1 = "eth0", fw2 = "eth0" }
address = { fw1 = "192.0.2.11", fw2 = "192.0.2.12" }
port = 6940`},
	{path: "link.type", kind: text, required: true, oneOf: []string{"serial", "multicast", "unicast"}, show: `"serial"`, doc: "Kind of path."},
	{path: "link.device", kind: textByNode, show: `{ fw1 = "/dev/ttyS1", fw2 = "/dev/ttyS1" }`, doc: "serial: the tty."},
	{path: "link.baud", kind: number, def: "115200", min: 1200, max: 4_000_000, doc: "serial: bits a second, 8N1."},
	{path: "link.lines", kind: text, def: `"auto"`, oneOf: []string{"auto", "ignore"}, doc: "serial: auto learns whether the cable carries DSR, DCD and CTS and uses them as evidence; ignore does not look."},
	{path: "link.dead", kind: duration, min: ms, max: minute, show: `"250ms"`, doc: "Silence after which this link is down. Default: dead of [timing]. The peer is suspect when the slowest link is down."},
	{path: "link.interface", kind: textByNode, hidden: true, show: `"eth2"`, doc: "multicast, unicast: the interface that the link is bound to."},
	{path: "link.group", kind: text, hidden: true, show: `"239.255.77.1"`, doc: "multicast: the group's address."},
	{path: "link.address", kind: addressByNode, hidden: true, show: `{ fw1 = "192.0.2.11", fw2 = "192.0.2.12" }`, doc: "unicast: each node's own address."},
	{path: "link.port", kind: number, def: "6940", hidden: true, min: 1, max: 65535, doc: "multicast, unicast: UDP port."},
}

var groupKeys = []key{
	{path: "group", kind: sections, required: true, doc: "What one node owns at a time: addresses, routes, services. Up to 8 groups; with two, each node can own one."},
	{path: "group.name", kind: text, required: true, show: `"gateway"`, doc: "Name, 1 to 32 of a-z, 0-9, dash and underscore."},
	{path: "group.preferred", kind: text, show: `"fw1"`, doc: "The node that takes the group when both start. Default: the first node."},
	{path: "group.failback", kind: text, def: `"never"`, oneOf: []string{"never", "auto", "hold"}, doc: "Whether the group goes home to its preferred node. never: when an operator says so. auto: at once. hold: after failback_hold of stable contact."},
	{path: "group.failback_hold", kind: duration, def: `"5m"`, min: second, max: 24 * hour, doc: "failback hold: how long contact must be stable."},
	{path: "group.flap_max", kind: number, def: "3", max: 1000, doc: "Planned moves allowed within flap_window; then the group stays where it is. 0: no limit."},
	{path: "group.flap_window", kind: duration, def: `"10m"`, min: second, max: 24 * hour, doc: "See flap_max."},
	{path: "group.gate_transit", kind: boolean, def: "true", doc: "Without the lease, also drop what is to be routed through this group's interfaces."},
	{path: "group.virtual_mac", kind: text, def: `""`, hidden: true, show: `"00:00:5e:00:01:0a"`, doc: "A hardware address that both nodes use for the group's addresses, for switches and upstreams that ignore gratuitous ARP. The addresses are then on a device of type macvlan, tv0-eth0 for the first group on eth0: firewall rules and services must know that name. VRRP's (00:00:5e:00:01:xx, 00:00:5e:00:02:xx) or a locally administered one. dev, iif and oif in this group's addresses, routes and rules go on naming the interface. Not on Wi-Fi, not without nftables and Linux 5.16, not in lite."},
	{path: "group.addresses", kind: addresses, show: `[
  "192.0.2.1/24@eth0",
  { ip = "2001:db8::1/64", dev = "eth0" },
  { ip = "198.51.100.1/24", dev = "eth1", label = "eth1:vip", scope = "global" },
]`, doc: "Virtual addresses: \"ADDRESS/LENGTH@DEVICE\", or a table."},
	{path: "group.addresses.ip", kind: text, required: true, doc: "ADDRESS/LENGTH."},
	{path: "group.addresses.dev", kind: text, required: true, doc: "Device."},
	{path: "group.addresses.label", kind: text, def: `""`, doc: "IPv4: label, starts with the device's name, at most 15 bytes."},
	{path: "group.addresses.scope", kind: text, def: `""`, oneOf: []string{"", "global", "link", "host"}, doc: "Scope; default: by the address."},
	{path: "group.routes", kind: inline, show: `[
  { to = "default", via = "198.51.100.254", dev = "eth1", src = "198.51.100.1", metric = 10 },
  { to = "2001:db8:1::/48", via = "2001:db8::fe", dev = "eth0", table = 100, onlink = true, scope = "global" },
]`, doc: "Routes that only the owner has."},
	{path: "group.routes.to", kind: text, required: true, doc: "Destination prefix, or default."},
	{path: "group.routes.via", kind: text, def: `""`, doc: "Gateway; empty: on the device."},
	{path: "group.routes.dev", kind: text, required: true, doc: "Device."},
	{path: "group.routes.src", kind: text, def: `""`, doc: "Preferred source address."},
	{path: "group.routes.table", kind: number, def: "0", max: 1<<31 - 1, doc: "Routing table; 0: main."},
	{path: "group.routes.metric", kind: number, def: "0", max: 1<<31 - 1, doc: "Metric; smaller is preferred."},
	{path: "group.routes.onlink", kind: boolean, def: "false", doc: "The gateway is on the link although no address says so."},
	{path: "group.routes.scope", kind: text, def: `""`, oneOf: []string{"", "global", "link", "host"}, doc: "Scope; default: link without a gateway, else global."},
	{path: "group.rules", kind: inline, show: `[{ from = "192.0.2.0/24", to = "", iif = "eth0", oif = "", fwmark = 0, table = 100, priority = 1000 }]`, doc: "Policy routing rules that only the owner has."},
	{path: "group.rules.from", kind: text, def: `""`, doc: "Source prefix; empty: any."},
	{path: "group.rules.to", kind: text, def: `""`, doc: "Destination prefix; empty: any."},
	{path: "group.rules.iif", kind: text, def: `""`, doc: "Incoming interface."},
	{path: "group.rules.oif", kind: text, def: `""`, doc: "Outgoing interface."},
	{path: "group.rules.fwmark", kind: number, def: "0", max: 1<<32 - 1, doc: "Firewall mark; 0: any."},
	{path: "group.rules.table", kind: number, required: true, min: 1, max: 1<<31 - 1, doc: "Routing table to look up."},
	{path: "group.rules.priority", kind: number, required: true, min: 1, max: 1<<31 - 1, doc: "Place among all rules; the main table stands at 32766."},
	{path: "group.rules.ipv6", kind: boolean, def: "false", doc: "Family, if neither from nor to tells."},
	{path: "group.announce", kind: section, doc: "Gratuitous ARP and unsolicited neighbour advertisements."},
	{path: "group.announce.count", kind: number, def: "5", min: 1, max: 100, doc: "Rounds of a burst after a takeover."},
	{path: "group.announce.spacing", kind: duration, def: `"100ms"`, min: ms, max: minute, doc: "Between two rounds."},
	{path: "group.announce.refresh", kind: duration, def: `"60s"`, orZero: true, min: second, max: 24 * hour, doc: "Between two refreshes while owned; after a takeover they begin 1, 2, 4 s apart and so on up to this. \"0s\": none."},
	{path: "group.announce.pace", kind: number, def: "4000", min: 10, max: 1_000_000, doc: "Frames a second, at most."},
}

var serviceKeys = []key{
	{path: "group.service", kind: sections, doc: "Services of the group, started in this order after the addresses, stopped in reverse.", more: `[[group.service]]
name = "lighttpd"
driver = "systemd"
unit = "lighttpd.service"
on_take = "reload"
keep_on_stop = true`},
	{path: "group.service.name", kind: text, required: true, show: `"dnsmasq"`, doc: "Name in events and alarms."},
	{path: "group.service.driver", kind: text, required: true, oneOf: []string{"auto", "systemd", "sysv", "openrc", "procd", "runit", "ocf", "heartbeat", "command"}, show: `"command"`, doc: "What runs it. systemd: systemctl. sysv: a script of /etc/init.d by the LSB. openrc: rc-service. procd: OpenWrt's script and ubus. runit: sv. ocf: an OCF resource agent. heartbeat: a script of /etc/ha.d/resource.d or /etc/init.d, which tells its state by text. command: start, stop and status. auto: of systemd, openrc, procd and runit the one that runs here and knows unit, else sysv; each node chooses for itself. The lite build has systemd, sysv, procd and command."},
	{path: "group.service.unit", kind: text, def: `""`, hidden: true, show: `"lighttpd.service"`, doc: "All but command: what the driver calls it. sysv, heartbeat: the script's name or full path; runit: the folder's; ocf: PROVIDER:AGENT, such as heartbeat:IPaddr2, or the agent's full path."},
	{path: "group.service.args", kind: texts, hidden: true, show: `["192.0.2.1/24/eth0"]`, doc: "heartbeat: arguments of the script; the verb comes after them."},
	{path: "group.service.params", kind: textTable, hidden: true, show: `{ config = "/etc/app.conf", timeout = 30 }`, doc: "ocf: parameters of the agent. `twinbeat check` compares them with its metadata, and so does each start."},
	{path: "group.service.promote", kind: boolean, def: "false", hidden: true, doc: "ocf: the owner's is promoted, and demoted before it is stopped. With keep_on_stop it is only demoted, and runs on as the standby's."},
	{path: "group.service.depth", kind: number, def: "0", max: 100, hidden: true, doc: "ocf: how thorough the status is (OCF_CHECK_LEVEL)."},
	{path: "group.service.start", kind: list, show: `["/usr/sbin/dnsmasq", "-C", "/etc/dnsmasq.conf", "-x", "/run/dnsmasq.pid"]`, doc: "command: program, by its full path, and arguments; no shell."},
	{path: "group.service.stop", kind: list, show: `["/usr/bin/pkill", "-F", "/run/dnsmasq.pid"]`, doc: "command: as start. Not needed with keep_on_stop, nor with on_take none."},
	{path: "group.service.status", kind: list, show: `["/usr/bin/pgrep", "-F", "/run/dnsmasq.pid"]`, doc: "command: exit code 0 means running, 1 or 3 stopped, all else unknown. Without it the service is not watched."},
	{path: "group.service.on_take", kind: text, def: `"start"`, oneOf: []string{"start", "restart", "reload", "none"}, doc: "What a takeover does to the service."},
	{path: "group.service.start_timeout", kind: duration, def: `"20s"`, min: 10 * ms, max: hour, doc: "A start that takes longer has failed. ocf, this and the next two: default by the agent's metadata, 5m at most."},
	{path: "group.service.stop_timeout", kind: duration, def: `"20s"`, min: 10 * ms, max: hour, doc: "A stop that takes longer has failed."},
	{path: "group.service.status_timeout", kind: duration, def: `"5s"`, min: 10 * ms, max: hour, doc: "A status that takes longer counts as unknown."},
	{path: "group.service.check_interval", kind: duration, def: `"5s"`, orZero: true, min: 100 * ms, max: 24 * hour, doc: "Between two checks; \"0s\": none."},
	{path: "group.service.restarts", kind: number, def: "3", max: 100, doc: "Restarts in place within restart_window; then the service has failed for good."},
	{path: "group.service.restart_window", kind: duration, def: `"10m"`, min: second, max: 24 * hour, doc: "See restarts."},
	{path: "group.service.on_start_failure", kind: text, def: `"handover"`, oneOf: []string{"handover", "stay"}, doc: "A service that does not start, or failed for good: hand the group over, or stay and raise an alarm."},
	{path: "group.service.on_stop_failure", kind: text, def: `"fence"`, oneOf: []string{"fence", "proceed"}, doc: "A service that does not stop: keep the group from the peer until this node is fenced, or proceed without it."},
	{path: "group.service.keep_on_stop", kind: boolean, def: "false", doc: "Leave the service running when the group goes."},
}
