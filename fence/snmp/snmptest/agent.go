package snmptest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gosnmp/gosnmp"
)

// queue is how many requests wait in a slow agent; more get lost.
const queue = 64

// An Agent answers SNMP versions 1 and 2c for a PDU on a port of loopback, one
// request at a time as small cards do.
type Agent struct {
	pdu       *PDU
	community string

	mu       sync.Mutex
	conn     *net.UDPConn
	addr     *net.UDPAddr
	requests int
	sets     int
	most     int // requests that waited at once
	before   []byte
	v1, v2c  bool
	done     sync.WaitGroup
}

// Serve starts an agent for a PDU, on a port of its own, for versions 1 and 2c
// and the community "private".
func Serve(pdu *PDU) (*Agent, error) { return ServeAt(pdu, "127.0.0.1") }

// ServeAt is Serve on an address of this host, in the calling thread's network
// namespace.
func ServeAt(pdu *PDU, ip string) (*Agent, error) {
	a := &Agent{pdu: pdu, community: "private", v1: true, v2c: true, addr: &net.UDPAddr{IP: net.ParseIP(ip)}}
	return a, a.Start()
}

// Start listens, anew on the same port after Stop.
func (a *Agent) Start() error {
	conn, err := net.ListenUDP("udp4", a.addr)
	if err != nil {
		return fmt.Errorf("start agent: %w", err)
	}
	a.mu.Lock()
	a.conn, a.addr = conn, conn.LocalAddr().(*net.UDPAddr)
	a.mu.Unlock()
	work := make(chan datagram, queue)
	a.done.Go(func() { a.listen(conn, work) })
	a.done.Go(func() { a.answer(conn, work) })
	return nil
}

// Stop closes the port: who asks is told that nobody listens.
func (a *Agent) Stop() {
	a.mu.Lock()
	_ = a.conn.Close()
	a.mu.Unlock()
	a.done.Wait()
}

// Address is the agent's host and port.
func (a *Agent) Address() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.addr.String()
}

// Versions sets which versions are answered.
func (a *Agent) Versions(v1, v2c bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.v1, a.v2c = v1, v2c
}

// Counts returns how many requests came, how many of them were SETs, and how
// many waited at once at most.
func (a *Agent) Counts() (requests, sets, most int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.requests, a.sets, a.most
}

type datagram struct {
	bytes []byte
	from  *net.UDPAddr
}

func (a *Agent) listen(conn *net.UDPConn, work chan<- datagram) {
	defer close(work)
	buf := make([]byte, 65536)
	for {
		n, from, err := conn.ReadFromUDP(buf)
		if err != nil {
			return
		}
		select {
		case work <- datagram{append([]byte(nil), buf[:n]...), from}:
		default: // lost, as in a card whose queue is full
		}
		a.mu.Lock()
		a.most = max(a.most, len(work))
		a.mu.Unlock()
	}
}

func (a *Agent) answer(conn *net.UDPConn, work <-chan datagram) {
	for d := range work {
		for _, b := range a.respond(d.bytes) {
			_, _ = conn.WriteToUDP(b, d.from)
		}
	}
}

// respond makes the answers to a request, none if it or they get lost.
func (a *Agent) respond(b []byte) [][]byte {
	codec := &gosnmp.GoSNMP{Version: gosnmp.Version2c}
	request, err := codec.SnmpDecodePacket(b)
	if err != nil || request.Community != a.community {
		return nil
	}
	a.mu.Lock()
	if request.Version == gosnmp.Version1 && !a.v1 || request.Version == gosnmp.Version2c && !a.v2c {
		a.mu.Unlock()
		return nil
	}
	set := request.PDUType == gosnmp.SetRequest
	a.requests++
	n := a.requests
	if set {
		a.sets++
		n = a.sets
	}
	a.mu.Unlock()
	lies := a.pdu.told()
	time.Sleep(lies.Delay)
	if lies.Deaf || lies.Drop != nil && lies.Drop(n, set) {
		return nil
	}
	answer := a.pdu.answer(request)
	if lies.Mangle != nil {
		asked, _ := codec.SnmpDecodePacket(b)
		lies.Mangle(asked, answer)
	}
	out, err := answer.MarshalMsg()
	if err != nil || lies.DropAnswer != nil && lies.DropAnswer(n, set) {
		return nil
	}
	all := [][]byte{out}
	if lies.Replay && a.before != nil {
		all = [][]byte{a.before, out}
	}
	a.before = out
	return all
}

func (u *PDU) told() Lies {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.lies
}

// answer makes the response to a request, as RFC 1157 and RFC 3416 say.
func (u *PDU) answer(request *gosnmp.SnmpPacket) *gosnmp.SnmpPacket {
	answer := *request
	answer.PDUType = gosnmp.GetResponse
	answer.Variables = nil
	one := request.Version == gosnmp.Version1
	if most := u.told().TooBig; most > 0 && len(request.Variables) > most {
		answer.Error, answer.Variables = gosnmp.TooBig, request.Variables
		return &answer
	}
	for i, v := range request.Variables {
		bind, status := u.one(request.PDUType, v, one)
		if status != gosnmp.NoError {
			if !one && status == gosnmp.NoSuchName {
				status = gosnmp.NoAccess
			}
			answer.Error, answer.ErrorIndex, answer.Variables = status, uint8(i+1), request.Variables
			return &answer
		}
		answer.Variables = append(answer.Variables, bind)
	}
	return &answer
}

// one answers for one object.
func (u *PDU) one(kind gosnmp.PDUType, v gosnmp.SnmpPDU, version1 bool) (gosnmp.SnmpPDU, gosnmp.SNMPError) {
	oid := strings.TrimPrefix(v.Name, ".")
	switch kind {
	case gosnmp.SetRequest:
		return v, u.Set(oid, v.Value)
	case gosnmp.GetNextRequest:
		name, value, ok := u.Next(oid)
		if ok {
			return bind(name, value), gosnmp.NoError
		}
		v.Type, v.Value = gosnmp.EndOfMibView, nil
	default:
		value, ok := u.Get(oid)
		if ok {
			return bind(oid, value), gosnmp.NoError
		}
		v.Type, v.Value = gosnmp.NoSuchInstance, nil
	}
	if version1 {
		return v, gosnmp.NoSuchName
	}
	return v, gosnmp.NoError
}

func bind(oid string, v any) gosnmp.SnmpPDU {
	b := gosnmp.SnmpPDU{Name: "." + oid}
	switch v := v.(type) {
	case int:
		b.Type, b.Value = gosnmp.Integer, v
	case Gauge:
		b.Type, b.Value = gosnmp.Gauge32, uint32(v)
	case Object:
		b.Type, b.Value = gosnmp.ObjectIdentifier, "."+string(v)
	case string:
		b.Type, b.Value = gosnmp.OctetString, v
	default:
		panic(fmt.Sprintf("snmptest: value of type %T", v))
	}
	return b
}

// PassPersist answers net-snmp's snmpd for a PDU, by the protocol of its
// pass_persist directive (man snmpd.conf), until in ends.
func PassPersist(u *PDU, in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	line := func() string {
		lines.Scan()
		return strings.TrimSpace(lines.Text())
	}
	for lines.Scan() {
		var err error
		switch verb := strings.TrimSpace(lines.Text()); verb {
		case "PING":
			_, err = fmt.Fprintln(out, "PONG")
		case "get":
			oid := strings.TrimPrefix(line(), ".")
			v, ok := u.Get(oid)
			err = passed(out, oid, v, ok)
		case "getnext":
			name, v, ok := u.Next(strings.TrimPrefix(line(), "."))
			err = passed(out, name, v, ok)
		case "set":
			oid := strings.TrimPrefix(line(), ".")
			_, err = fmt.Fprintln(out, passSet(u, oid, line()))
		}
		if err != nil {
			return fmt.Errorf("answer snmpd: %w", err)
		}
	}
	return nil
}

func passed(out io.Writer, oid string, v any, ok bool) error {
	if !ok {
		_, err := fmt.Fprintln(out, "NONE")
		return err
	}
	kind := "string"
	switch v.(type) {
	case int:
		kind = "integer"
	case Gauge:
		kind = "gauge"
	case Object:
		kind = "objectid"
	}
	_, err := fmt.Fprintf(out, ".%s\n%s\n%v\n", oid, kind, v)
	return err
}

// passSet writes what snmpd hands on as "integer 2".
func passSet(u *PDU, oid, text string) string {
	kind, value, _ := strings.Cut(text, " ")
	n, err := strconv.Atoi(strings.TrimSpace(value))
	if kind != "integer" || err != nil {
		return "wrong-type"
	}
	switch u.Set(oid, n) {
	case gosnmp.NoError:
		return "DONE"
	case gosnmp.NoSuchName:
		return "not-writable"
	case gosnmp.GenErr:
		return "NONE"
	}
	return "wrong-value"
}
