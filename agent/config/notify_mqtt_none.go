//go:build !mqtt && !lite

package config

// notifyMQTT refuses what only a build with the tag does.
func (t table) notifyMQTT(n *Notify) {
	if n.Type == "mqtt" {
		t.report("type", "mqtt is not in this build, which was made without tag mqtt", "make build TAGS=mqtt for both nodes, or let type = \"command\" run mosquitto_pub")
	}
}
