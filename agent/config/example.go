package config

// Example is a small configuration that Parse accepts, with warnings, for the
// nodes fw1 and fw2.
const Example = `cluster = "office"

[[node]]
name = "fw1"
[[node]]
name = "fw2"

[[link]]
type = "serial"
device = "/dev/ttyS0"
[[link]]
type = "multicast"
interface = "eth1"
group = "239.255.77.1"

[[group]]
name = "gateway"
addresses = ["192.0.2.1/24@eth0"]
`
