//go:build mqtt && !lite

package config

import (
	"fmt"
	"strings"
	"unicode"
)

// maxTopic bounds a topic, in bytes; brokers have bounds of their own.
const maxTopic = 250

// notifyMQTT checks where alerts are published.
func (t table) notifyMQTT(n *Notify) {
	if n.Type != "mqtt" {
		return
	}
	switch n.Transport {
	case "":
		n.Transport = "tls"
	case "tcp":
		if n.User != "" {
			t.warn(join(t.path, "transport"), "tcp shows the password to the whole way", "tls, or a broker that asks for none")
		}
	case "udp":
		t.report("transport", "there is no MQTT by udp", "tls or tcp")
	}
	// OASIS MQTT 3.1.1 sections 4.7.1 and 4.7.2.
	if strings.ContainsAny(n.Topic, "+#") || strings.HasPrefix(n.Topic, "$") || strings.ContainsFunc(n.Topic, unicode.IsControl) || len(n.Topic) > maxTopic {
		t.report("topic", fmt.Sprintf("%q is no topic to publish to", n.Topic), fmt.Sprintf("without + and #, which are for who subscribes; no $ in front, which is the broker's own; %d bytes at most", maxTopic))
	}
	if t.has("topic") && n.Topic == "" {
		t.report("topic", "is empty", `write topic = "twinbeat/office"`)
	}
}
