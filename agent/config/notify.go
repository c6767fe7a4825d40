package config

import "time"

// MaxNotify is how many targets of alerts a node may have.
const MaxNotify = 8

// Notify is one target of alerts.
type Notify struct {
	Line     int // in the file, of its type
	Name     string
	Type     string   // syslog, webhook, mail, snmp, mqtt or command
	Severity string   // the least that it is told
	Groups   []string // empty: all
	Kinds    []string // empty: all
	Repeat   time.Duration
	Rate     int // alerts an hour; 0: any
	Timeout  time.Duration

	Address   string // a path: syslog's local socket
	Transport string // syslog: udp, tcp or tls; mqtt: tcp or tls
	Facility  string
	URL       string // webhook
	TokenFile string
	TLS       string // mail: starttls, tls or none
	From      string
	To        []string
	Command   []string
	Topic     string // mqtt
	Retain    bool

	User           string
	PasswordFile   string
	TLSFingerprint string
	CAFile         string
	Insecure       bool

	SNMPVersion   string
	Community     string // public or private; any other stands in the file
	CommunityFile string
	AuthProtocol  string
	AuthFile      string
	PrivProtocol  string
	PrivFile      string
	Inform        bool // the receiver acknowledges
}
