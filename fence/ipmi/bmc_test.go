package ipmi

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"encoding/binary"
	"net"
	"sync"
	"testing"
)

// A bmc is the other end of RMCP+, with a relay and with bad manners by
// script. ipmitool speaks with it, too (TestIpmitoolBelievesOurBMC), so that it
// is more than the mirror of our own mistakes.
type bmc struct {
	conn *net.UDPConn

	mu       sync.Mutex
	password string
	limit    byte // highest privilege of the user
	suites   []int
	on       bool
	sessions map[uint32]*bmcSession // by our number, from open session to close
	next     uint32
	opened   int

	refuse     byte                                                // status of every open session
	busy       int                                                 // so many commands are answered with c0
	algorithms []byte                                              // answered instead of those asked for
	answer     func(cmd command, data []byte) (byte, []byte)       // in place of the good answer
	tamper     func(cmd command, packet []byte) (packets [][]byte) // what becomes of an answer; nil passes it on
	fru        []byte
}

type bmcSession struct {
	suite    suite
	console  uint32
	rm, rc   []byte
	role     byte
	user     []byte
	seal     *seal
	active   bool
	sequence uint32
	seen     map[uint32]bool
}

var bmcGUID = []byte("twinbeat-bmc-001")

func startBMC(t *testing.T) *bmc {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	b := &bmc{conn: conn, password: "secret", limit: administrator, suites: []int{3, 17}, on: true, sessions: map[uint32]*bmcSession{}, next: 0x1000}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 2048)
		for {
			n, from, err := conn.ReadFromUDP(buf)
			if err != nil {
				return
			}
			for _, p := range b.handle(bytes.Clone(buf[:n])) {
				_, _ = conn.WriteToUDP(p, from)
			}
		}
	}()
	t.Cleanup(func() { _ = conn.Close(); <-done })
	return b
}

func (b *bmc) address() string { return b.conn.LocalAddr().String() }

// set changes the script while the BMC runs.
func (b *bmc) set(edit func(*bmc)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	edit(b)
}

func (b *bmc) hasPower() bool { b.mu.Lock(); defer b.mu.Unlock(); return b.on }

func (b *bmc) open() int { b.mu.Lock(); defer b.mu.Unlock(); return len(b.sessions) }

func (b *bmc) handle(packet []byte) [][]byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	if m, err := fromLegacy(packet); err == nil {
		if len(m) < requestSize || m[5] != getAuthentication.code {
			return nil
		}
		out := legacy(bmcAnswer(m, 0, []byte{1, 0x80 | 0x04, 0x04, 0x03, 0, 0, 0, 0}))
		return b.send(getAuthentication, out)
	}
	head, payload, _, err := split(packet)
	if err != nil {
		return nil
	}
	kind := head[1] & payloadType
	if kind == payloadIPMI {
		return b.inside(binary.LittleEndian.Uint32(head[2:]), binary.LittleEndian.Uint32(head[6:]), packet)
	}
	answer := map[byte]func([]byte) []byte{payloadOpenRequest: b.openSession, payloadRAKP1: b.rakp1, payloadRAKP3: b.rakp3}[kind]
	if answer == nil {
		return nil
	}
	if in := answer(payload); in != nil {
		return b.send(command{0xff, kind}, outside(kind+1, in))
	}
	return nil
}

func (b *bmc) send(cmd command, packet []byte) [][]byte {
	if b.tamper != nil {
		if all := b.tamper(cmd, packet); all != nil {
			return all
		}
	}
	return [][]byte{packet}
}

func (b *bmc) openSession(p []byte) []byte {
	fail := func(code byte) []byte { return append([]byte{p[0], code, 0, 0}, p[4:8]...) }
	if b.refuse != 0 {
		return fail(b.refuse)
	}
	for _, s := range suites {
		for _, id := range b.suites {
			if s.id != id || s.auth != p[12] || s.integrity != p[20] {
				continue
			}
			b.next++
			b.opened++
			b.sessions[b.next] = &bmcSession{suite: s, console: binary.LittleEndian.Uint32(p[4:]), seen: map[uint32]bool{}}
			out := append([]byte{p[0], 0, administrator, 0}, p[4:8]...)
			out = append(append(out, number(b.next)...), p[8:32]...)
			for i, a := range b.algorithms {
				out[12+8*i+4] = a
			}
			return out
		}
	}
	return fail(0x04)
}

func (b *bmc) rakp1(p []byte) []byte {
	id := binary.LittleEndian.Uint32(p[4:])
	s := b.sessions[id]
	if s == nil {
		return []byte{p[0], 0x02, 0, 0, 0, 0, 0, 0}
	}
	s.rm, s.role, s.user = p[8:24], p[24], p[28:]
	out := append([]byte{p[0], 0, 0, 0}, number(s.console)...)
	switch {
	case string(s.user) != "admin":
		delete(b.sessions, id)
		out[1] = 0x0d
		return out
	case s.role&0x0f > b.limit:
		delete(b.sessions, id)
		out[1] = 0x0a
		return out
	}
	s.rc = make([]byte, 16)
	_, _ = rand.Read(s.rc)
	code := s.suite.mac([]byte(b.password), number(s.console), number(id), s.rm, s.rc, bmcGUID, s.identity())
	return append(append(append(out, s.rc...), bmcGUID...), code...)
}

func (s *bmcSession) identity() []byte { return append([]byte{s.role, byte(len(s.user))}, s.user...) }

func (b *bmc) rakp3(p []byte) []byte {
	id := binary.LittleEndian.Uint32(p[4:])
	s := b.sessions[id]
	if s == nil || s.rc == nil {
		return []byte{p[0], 0x02, 0, 0, 0, 0, 0, 0}
	}
	out := append([]byte{p[0], 0, 0, 0}, number(s.console)...)
	want := s.suite.mac([]byte(b.password), s.rc, number(s.console), s.identity())
	if p[1] != 0 || !hmac.Equal(want, p[8:]) {
		delete(b.sessions, id)
		if p[1] != 0 {
			return nil
		}
		out[1] = 0x0f
		return out
	}
	sik := s.suite.mac([]byte(b.password), s.rm, s.rc, s.identity())
	s.seal, _ = newSeal(s.suite, sik)
	s.active = true
	return append(out, s.suite.mac(sik, s.rm, number(id), bmcGUID)[:s.suite.icv]...)
}

func (b *bmc) inside(id, sequence uint32, packet []byte) [][]byte {
	s := b.sessions[id]
	if s == nil || !s.active || s.seen[sequence] {
		return nil // as the specification says of a number that was seen
	}
	m, err := s.seal.unpack(id, packet)
	if err != nil || len(m) < requestSize {
		return nil
	}
	s.seen[sequence] = true
	cmd, data := command{m[1] >> 2, m[5]}, m[6:len(m)-1]
	code, out := b.obey(cmd, data, id)
	s.sequence++
	iv := make([]byte, 16)
	_, _ = rand.Read(iv)
	return b.send(cmd, s.seal.pack(s.console, s.sequence, bmcAnswer(m, code, out), iv))
}

func (b *bmc) obey(cmd command, data []byte, id uint32) (byte, []byte) {
	if b.busy > 0 && cmd != setPrivilege && cmd != closeSession {
		b.busy--
		return 0xc0, nil
	}
	if b.answer != nil {
		if code, out := b.answer(cmd, data); code != 0 || out != nil {
			return code, out
		}
	}
	switch cmd {
	case setPrivilege:
		return 0, data
	case closeSession:
		delete(b.sessions, id)
		return 0, nil
	case chassisControl:
		b.on = data[0] == powerUp
		return 0, nil
	case getChassisStatus:
		if b.on {
			return 0, []byte{0x21, 0x10, 0x40}
		}
		return 0, []byte{0x20, 0x00, 0x40}
	case getDeviceID:
		return 0, []byte{0x20, 0x81, 0x02, 0x57, 0x02, 0xdf, 0xa2, 0x02, 0x00, 0x00, 0x01, 0, 0, 0, 0}
	case getFRUInfo:
		if b.fru == nil {
			return 0xcb, nil
		}
		return 0, []byte{byte(len(b.fru)), byte(len(b.fru) >> 8), 0}
	case readFRU:
		from := int(data[1]) | int(data[2])<<8
		to := min(from+int(data[3]), len(b.fru))
		return 0, append([]byte{byte(to - from)}, b.fru[from:to]...)
	}
	return 0xc1, nil
}

// bmcAnswer packs the answer to a request.
func bmcAnswer(request []byte, code byte, data []byte) []byte {
	m := []byte{request[3], request[1] | 1<<2, 0, bmcAddress, request[4], request[5], code}
	m[2] = checksum(m[:2])
	m = append(m, data...)
	return append(m, checksum(m[3:]))
}

// fruOf makes an inventory with a board and a product area.
func fruOf(maker, product, serial string) []byte {
	area := func(head []byte, fields ...string) []byte {
		a := bytes.Clone(head)
		for _, f := range fields {
			a = append(append(a, 0xc0|byte(len(f))), f...)
		}
		a = append(a, 0xc1)
		for len(a)%8 != 7 {
			a = append(a, 0)
		}
		a[1] = byte(len(a)/8 + 1)
		return append(a, checksum(a))
	}
	board := area([]byte{1, 0, 25, 0, 0, 0}, "Board Maker", "Board", "B-"+serial, "part")
	head := []byte{1, 0, 0, 1, byte(1 + len(board)/8), 0, 0}
	head = append(head, checksum(head))
	return append(append(head, board...), area([]byte{1, 0, 25}, maker, product, "part", "v1", serial)...)
}
