package ipmi

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// Limits of a session.
const (
	// Resend is the time after which an unanswered datagram is sent anew.
	Resend = time.Second
	// CloseWait bounds the farewell to a BMC. It keeps few sessions at a time,
	// and forgets one that was not closed only after a minute.
	CloseWait = 500 * time.Millisecond
	// maxRequests of one session: request numbers have six bits, and none is
	// used twice, so that an answer that was recorded matches no later request.
	maxRequests = 60
	maxConnects = 2 // handshakes: an answer that was lost may ruin the first
	busyTries   = 5 // while the BMC says that it did nothing because it is busy
	busyPause   = 200 * time.Millisecond
)

// A command is a network function and a code within it, IPMI 2.0 appendix G.
type command struct{ netFn, code byte }

var (
	getChassisStatus  = command{0x00, 0x01} // section 28.2
	chassisControl    = command{0x00, 0x02} // section 28.3
	getDeviceID       = command{0x06, 0x01} // section 20.1
	getAuthentication = command{0x06, 0x38} // section 22.13
	setPrivilege      = command{0x06, 0x3b} // section 22.18
	closeSession      = command{0x06, 0x3c} // section 22.19
	getFRUInfo        = command{0x0a, 0x10} // section 34.1
	readFRU           = command{0x0a, 0x11} // section 34.2
)

// Privileges, IPMI 2.0 section 6.8. Chassis Control needs an operator.
const (
	operator      = 0x03
	administrator = 0x04
	byName        = 0x10 // look a user up by name alone, table 13-11
)

// A session is a BMC that knows us, from connect to close.
type session struct {
	conn     net.Conn
	timeout  time.Duration
	user     []byte
	password []byte

	console, bmc uint32 // session numbers of either end
	seal         *seal
	sequence     uint32
	number       byte // of the newest request
}

// connect opens a session with the first of the suites that the BMC takes, as
// administrator, or as operator if the user is no more than that.
func connect(ctx context.Context, conn net.Conn, c Config) (*session, error) {
	s := &session{conn: conn, timeout: c.Timeout, user: []byte(c.User), password: []byte(c.Password)}
	if err := s.capabilities(ctx); err != nil {
		return nil, err
	}
	var last error
	for _, suite := range suites {
		if c.CipherSuite != 0 && c.CipherSuite != suite.id {
			continue
		}
		last = s.handshakes(ctx, suite)
		if !refused(last, 0x04, 0x05, 0x06, 0x07, 0x10, 0x11) { // all say: not these algorithms
			break
		}
		last = fmt.Errorf("cipher suite %d: %w", suite.id, last)
	}
	return s, last
}

func (s *session) handshakes(ctx context.Context, suite suite) error {
	var err error
	for range maxConnects {
		err = s.handshake(ctx, suite, administrator)
		if refused(err, 0x09, 0x0a) {
			err = s.handshake(ctx, suite, operator)
		}
		// A BMC whose answer was lost may refuse the same message when it comes
		// again (02, 08), be silent, or start anew.
		again := refused(err, 0x02, 0x08) || errors.Is(err, errSilent) || errors.Is(err, errForged)
		if !again || ctx.Err() != nil {
			return err
		}
	}
	return err
}

// capabilities asks whether there is a BMC, and whether it speaks IPMI 2.0.
// Nothing authenticates the answer, so it only serves for better errors.
func (s *session) capabilities(ctx context.Context) error {
	const thisChannel, extended, speaks20, twoKeys = 0x0e, 0x80, 0x02, 0x20
	out := legacy(request(getAuthentication, 0, []byte{thisChannel | extended, administrator}))
	return s.ask(ctx, "look for the BMC", func() []byte { return out }, func(packet []byte) (bool, error) {
		m, err := fromLegacy(packet)
		if err != nil {
			return false, err
		}
		code, data, err := answer(getAuthentication, 0, m)
		switch {
		case err != nil:
			return false, err
		case code != 0 || len(data) < 4:
			return true, nil // it is there, and the handshake tells more
		case data[1]&extended == 0 || data[3]&speaks20 == 0:
			return true, errors.New("the BMC speaks no IPMI 2.0")
		case data[2]&twoKeys != 0:
			return true, errors.New("the BMC wants a second key (Kg), which is not supported: clear it")
		}
		return true, nil
	})
}

// handshake opens a session, IPMI 2.0 sections 13.17 to 13.24.
func (s *session) handshake(ctx context.Context, suite suite, privilege byte) error {
	random := make([]byte, 4+16)
	_, _ = rand.Read(random) // never fails
	s.console = binary.LittleEndian.Uint32(random) | 1
	rm, role := random[4:], byte(privilege|byName)
	if err := s.openSession(ctx, suite, privilege); err != nil {
		return err
	}
	rc, guid, err := s.rakp1(ctx, suite, role, rm)
	if err != nil {
		return err
	}
	sik := suite.mac(s.password, rm, rc, s.identity(role))
	err = s.rakp3(ctx, suite, suite.mac(s.password, rc, number(s.console), s.identity(role)),
		suite.mac(sik, rm, number(s.bmc), guid)[:suite.icv])
	if err != nil {
		return err
	}
	if s.seal, err = newSeal(suite, sik); err != nil {
		return err
	}
	s.sequence, s.number = 0, 0
	_, err = s.do(ctx, setPrivilege, []byte{privilege})
	if err == nil {
		return nil
	}
	s.close(ctx)
	if errors.Is(err, completion(0x80)) || errors.Is(err, completion(0x81)) { // table 22-24
		err = status(0x0a)
	}
	return fmt.Errorf("set privilege: %w", err)
}

// identity is the part of every hash that says who we are.
func (s *session) identity(role byte) []byte {
	return append([]byte{role, byte(len(s.user))}, s.user...)
}

func number(n uint32) []byte { return binary.LittleEndian.AppendUint32(nil, n) }

// openSession proposes one suite, and takes no other for an answer: a forger
// could else talk us into one without authentication.
func (s *session) openSession(ctx context.Context, suite suite, privilege byte) error {
	out := append([]byte{0, privilege, 0, 0}, number(s.console)...)
	wanted := []byte{suite.auth, suite.integrity, confidentialityAES}
	for i, algorithm := range wanted {
		out = append(out, byte(i), 0, 0, 8, algorithm, 0, 0, 0)
	}
	in, err := s.outside(ctx, "open session", payloadOpenRequest, out, 36)
	if err != nil {
		return err
	}
	for i, algorithm := range wanted {
		if in[12+8*i+4] != algorithm {
			return fmt.Errorf("open session: the BMC answers with algorithms other than those of suite %d", suite.id)
		}
	}
	s.bmc = binary.LittleEndian.Uint32(in[8:])
	return nil
}

// rakp1 returns the BMC's random number and GUID, once it has shown that it
// knows the password.
func (s *session) rakp1(ctx context.Context, suite suite, role byte, rm []byte) (rc, guid []byte, err error) {
	out := append([]byte{0, 0, 0, 0}, number(s.bmc)...)
	out = append(append(out, rm...), role, 0, 0, byte(len(s.user)))
	in, err := s.outside(ctx, "log in", payloadRAKP1, append(out, s.user...), 40+suite.hash().Size())
	if err != nil {
		return nil, nil, err
	}
	rc, guid = in[8:24], in[24:40]
	code := suite.mac(s.password, number(s.console), number(s.bmc), rm, rc, guid, s.identity(role))
	if hmac.Equal(code, in[40:]) {
		return rc, guid, nil
	}
	// A farewell, or the BMC keeps a place for us for a minute.
	_, _ = s.conn.Write(outside(payloadRAKP3, append([]byte{0, 0x0f, 0, 0}, number(s.bmc)...)))
	return nil, nil, errPassword
}

// errPassword is the BMC's answer, made with another password than ours.
var errPassword = errors.New("log in: user or password is wrong")

// errForged is an end of the handshake by somebody who has not the keys.
var errForged = errors.New("log in: the BMC's last answer is forged")

func (s *session) rakp3(ctx context.Context, suite suite, code, want []byte) error {
	out := append(append([]byte{0, 0, 0, 0}, number(s.bmc)...), code...)
	in, err := s.outside(ctx, "log in", payloadRAKP3, out, 8+suite.icv)
	if err == nil && !hmac.Equal(want, in[8:]) {
		err = errForged
	}
	return err
}

// outside asks one question of the handshake. The answer has the next payload
// type, begins with tag, status, two bytes and our session number, and has
// exactly size bytes if the status is zero.
func (s *session) outside(ctx context.Context, what string, kind byte, out []byte, size int) ([]byte, error) {
	var in []byte
	packet := outside(kind, out)
	err := s.ask(ctx, what, func() []byte { return packet }, func(packet []byte) (bool, error) {
		got, err := fromOutside(packet, kind+1)
		switch {
		case err != nil:
			return false, err
		case len(got) < 2 || got[0] != 0:
			return false, foreign("handshake cut short")
		case got[1] != 0 && (len(got) < 8 || binary.LittleEndian.Uint32(got[4:]) == 0):
			return true, fmt.Errorf("%s: %w", what, status(got[1])) // some leave our number out of a refusal
		case len(got) < 8 || binary.LittleEndian.Uint32(got[4:]) != s.console:
			return false, foreign("handshake of another session")
		case got[1] != 0:
			return true, fmt.Errorf("%s: %w", what, status(got[1]))
		case len(got) != size:
			return false, foreign("handshake of another length")
		}
		in = got
		return true, nil
	})
	return in, err
}

// do runs a command and returns the data of its answer.
func (s *session) do(ctx context.Context, cmd command, data []byte) ([]byte, error) {
	var err error
	for try := range busyTries {
		if try > 0 && !pause(ctx, busyPause) {
			break
		}
		var in []byte
		if in, err = s.once(ctx, cmd, data); err != completion(0xc0) {
			return in, err
		}
	}
	return nil, err
}

func (s *session) once(ctx context.Context, cmd command, data []byte) (in []byte, err error) {
	if s.number++; s.number > maxRequests && cmd != closeSession {
		return nil, errors.New("too many requests for one session")
	}
	message := request(cmd, s.number, data)
	err = s.ask(ctx, "command", func() []byte {
		// A BMC drops a session sequence number that it has seen, so that
		// sending the same packet again would not bring a lost answer back.
		s.sequence++
		iv := make([]byte, 16)
		_, _ = rand.Read(iv)
		return s.seal.pack(s.bmc, s.sequence, message, iv)
	}, func(packet []byte) (bool, error) {
		m, err := s.seal.unpack(s.console, packet)
		if err != nil {
			return false, err
		}
		code, got, err := answer(cmd, s.number, m)
		switch {
		case err != nil:
			return false, err
		case code != 0:
			return true, completion(code)
		}
		in = got
		return true, nil
	})
	return in, err
}

// close ends the session in the BMC, also when ctx has ended. There is nothing
// to be done if it does not answer.
func (s *session) close(ctx context.Context) {
	if ctx.Err() != nil {
		s.sequence++
		iv := make([]byte, 16)
		_, _ = rand.Read(iv)
		m := request(closeSession, 0, number(s.bmc))
		_, _ = s.conn.Write(s.seal.pack(s.bmc, s.sequence, m, iv))
		return
	}
	ctx, cancel := context.WithTimeout(ctx, CloseWait)
	defer cancel()
	s.number = min(s.number, maxRequests)
	_, _ = s.once(ctx, closeSession, number(s.bmc))
}

// ask sends what out returns, and again each Resend, until accept is done with
// an answer. Datagrams that accept refuses are passed over; the reason of the
// newest is part of the error when time is up.
func (s *session) ask(ctx context.Context, what string, out func() []byte, accept func([]byte) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = s.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var reason error
	for ctx.Err() == nil {
		if _, err := s.conn.Write(out()); err != nil {
			reason = err // of an earlier datagram, often: nobody listens there
		}
		err := s.listen(ctx, time.Now().Add(Resend), accept, &reason)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
	return unanswered(what, s.timeout, ctx, reason)
}

// listen reads until accept is done, and returns what it says, or until the
// end. The read deadline is also how ask ends with its context.
func (s *session) listen(ctx context.Context, end time.Time, accept func([]byte) (bool, error), reason *error) error {
	buf := make([]byte, maxPacket)
	for {
		_ = s.conn.SetReadDeadline(end)
		if ctx.Err() != nil {
			return os.ErrDeadlineExceeded
		}
		n, err := s.conn.Read(buf)
		if err == nil {
			done := false
			if done, err = accept(buf[:n]); done {
				return err
			}
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		*reason = err
		if !errors.Is(err, errForeign) {
			pause(ctx, busyPause) // nobody listens there now: a BMC that restarts
		}
	}
}

// errSilent is of a BMC from which no valid answer came in time.
var errSilent = errors.New("no answer")

func unanswered(what string, timeout time.Duration, ctx context.Context, reason error) error {
	err := fmt.Errorf("%w within %v", errSilent, timeout)
	if cause := context.Cause(ctx); !errors.Is(cause, context.DeadlineExceeded) {
		err = cause
	}
	if reason != nil {
		return fmt.Errorf("%s: %w (last heard: %v)", what, err, reason)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// pause waits and says whether ctx is still on.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// A status is the BMC's refusal of a handshake, IPMI 2.0 table 13-15.
type status byte

var statusTexts = map[status]string{
	0x01: "the BMC has no room for another session",
	0x02: "invalid session number",
	0x04: "authentication algorithm refused",
	0x05: "integrity algorithm refused",
	0x06: "authentication algorithm refused",
	0x07: "integrity algorithm refused",
	0x08: "session is gone",
	0x09: "role refused",
	0x0a: "the user may not have this role",
	0x0b: "the BMC has no room for another session of this role",
	0x0c: "user name has an invalid length",
	0x0d: "user or password is wrong",
	0x0f: "user or password is wrong",
	0x10: "encryption refused",
	0x11: "no such cipher suite",
}

func (s status) Error() string {
	if text, ok := statusTexts[s]; ok {
		return text
	}
	return fmt.Sprintf("refused with RMCP+ status %#02x", byte(s))
}

// refused says whether err is one of the refusals.
func refused(err error, by ...status) bool {
	var s status
	if !errors.As(err, &s) {
		return false
	}
	for _, b := range by {
		if s == b {
			return true
		}
	}
	return false
}

// A completion is the BMC's refusal of a command, IPMI 2.0 table 5-2.
type completion byte

// stateForbids is how some answer a power down of a box that is off.
const stateForbids completion = 0xd5

var completionTexts = map[completion]string{
	0xc0:         "the BMC is busy",
	0xc1:         "the BMC does not know the command",
	0xc3:         "the BMC ran out of time",
	0xc9:         "the BMC does not take the parameter",
	0xcc:         "the BMC does not take the parameter",
	0xd2:         "the BMC's firmware is being updated",
	0xd4:         "the user lacks the privilege",
	stateForbids: "not possible in the present state",
	0xd6:         "the command is disabled",
	0xff:         "the BMC gives no reason",
}

func (c completion) Error() string {
	if text, ok := completionTexts[c]; ok {
		return fmt.Sprintf("completion code %#02x: %s", byte(c), text)
	}
	return fmt.Sprintf("completion code %#02x", byte(c))
}
