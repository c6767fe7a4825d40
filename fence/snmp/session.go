package snmp

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gosnmp/gosnmp"
)

// A kind is a kind of request. GETBULK is not among them: AOS 3.x cards answer
// it wrongly or not at all.
type kind uint8

const (
	get kind = iota
	next
	set
)

// An agent that answers later than the timeout is asked again in vain, and each
// copy keeps it from the next request. So its longest time counts, patience
// times over, up to maxTimeout.
const (
	patience   = 3
	maxTimeout = 30 * time.Second
)

// Request ids are 31 bits for old agents. No request has as many attempts as
// the stride, so that those of two requests differ.
const (
	idStride = 16
	maxID    = 1<<31 - 1
)

// probeRounds is how often each version is tried while none has answered.
const probeRounds = Attempts

// errNoAnswer says that the device did not answer in time.
var errNoAnswer = errors.New("no answer")

// A statusError is a response with an error status: the device was reached and
// refused. RFC 1157 section 4.1.1, RFC 3416 section 3.
type statusError struct {
	status gosnmp.SNMPError
	index  int // of the object it is about, from 1; 0: all
}

func (e *statusError) Error() string {
	if e.index > 0 {
		return fmt.Sprintf("the device answers %v for object %d", e.status, e.index)
	}
	return fmt.Sprintf("the device answers %v", e.status)
}

// A session is the socket to one device, with at most one request under way. A
// request that fails closes it: what is still to come for an earlier request
// finds no port any more, and can not be taken for a later one's answer.
type session struct {
	config  Config
	version *gosnmp.SnmpVersion // nil: not found out yet
	client  *gosnmp.GoSNMP      // nil: closed
	timeout time.Duration       // of an attempt, if that is longer than as configured
	id      uint32              // request ids up to idStride more are the newest request's
}

// versions are the versions to try, in order.
func (s *session) versions() []gosnmp.SnmpVersion {
	switch s.config.Version {
	case "1":
		return []gosnmp.SnmpVersion{gosnmp.Version1}
	case "2c":
		return []gosnmp.SnmpVersion{gosnmp.Version2c}
	case "3":
		return []gosnmp.SnmpVersion{gosnmp.Version3}
	}
	return []gosnmp.SnmpVersion{gosnmp.Version1, gosnmp.Version2c}
}

// ask sends one request and returns the answer's objects. Each object of a GET
// or SET answers for the one at its place in the request.
func (s *session) ask(ctx context.Context, k kind, binds []gosnmp.SnmpPDU) ([]gosnmp.SnmpPDU, error) {
	if s.version != nil {
		return s.try(ctx, *s.version, Attempts, k, binds)
	}
	all := s.versions()
	if len(all) == 1 {
		s.version = &all[0]
		return s.try(ctx, all[0], Attempts, k, binds)
	}
	for i := range probeRounds * len(all) {
		v := all[i%len(all)]
		vars, err := s.try(ctx, v, 1, k, binds)
		if errors.Is(err, errNoAnswer) {
			continue
		}
		if err == nil || errors.As(err, new(*statusError)) {
			s.version = &v
		}
		return vars, err
	}
	return nil, fmt.Errorf("%w by version 1 or 2c: is the community right, and this host allowed?", errNoAnswer)
}

// try sends a request by one version, up to attempts times.
func (s *session) try(ctx context.Context, v gosnmp.SnmpVersion, attempts int, k kind, binds []gosnmp.SnmpPDU) ([]gosnmp.SnmpPDU, error) {
	if err := s.open(ctx, v); err != nil {
		return nil, err
	}
	g := s.client
	g.Context, g.Retries, g.Timeout = ctx, attempts-1, max(s.config.Timeout, s.timeout)
	// gosnmp looks at the context between attempts only; a closed socket ends
	// the one that waits.
	conn := g.Conn
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	reply, err := s.exchange(g, k, binds)
	if !stop() {
		s.close() // the socket is closed, even if the answer came first
	}
	if err == nil {
		err = valid(g, reply)
	}
	if err != nil {
		s.close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if errors.Is(err, gosnmp.ErrMaxRetriesExceeded) {
			return nil, fmt.Errorf("%w by version %s in %d attempts of %v", errNoAnswer, v, attempts, g.Timeout)
		}
		return nil, oneLine(socketError(err))
	}
	if reply.Error != gosnmp.NoError {
		return nil, &statusError{reply.Error, int(reply.ErrorIndex)}
	}
	return reply.Variables, nil
}

// socketError leaves the addresses out of an error of the socket: the device's is
// known, and this end's port is another one each time.
func socketError(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return fmt.Errorf("%w: %w", errNoAnswer, op.Err)
	}
	return err
}

// oneLine cuts off the stacks that gosnmp puts into the error of a packet that
// it stumbled over.
func oneLine(err error) error {
	if line, _, more := strings.Cut(err.Error(), "\n"); more {
		return errors.New(line)
	}
	return err
}

// exchange sends a request and learns the agent's pace from the answer. Its
// request id, which gosnmp counts up, tells which attempt it is for.
func (s *session) exchange(g *gosnmp.GoSNMP, k kind, binds []gosnmp.SnmpPDU) (*gosnmp.SnmpPacket, error) {
	s.id = (s.id + idStride) & maxID
	g.SetRequestID(s.id)
	var sent []time.Time
	g.OnSent = func(*gosnmp.GoSNMP) { sent = append(sent, time.Now()) }
	reply, err := send(g, k, binds)
	if err != nil {
		return reply, err
	}
	n := int(reply.RequestID) - int(s.id) - 1
	if n < 0 || n >= len(sent) {
		return reply, nil // see valid
	}
	if took := time.Since(sent[n]); took > s.config.Timeout {
		s.timeout = max(s.timeout, min(patience*took, maxTimeout))
	}
	return reply, nil
}

func send(g *gosnmp.GoSNMP, k kind, binds []gosnmp.SnmpPDU) (*gosnmp.SnmpPacket, error) {
	if k == set {
		return g.Set(binds)
	}
	names := make([]string, len(binds))
	for i, b := range binds {
		names[i] = b.Name
	}
	if k == next {
		return g.GetNext(names)
	}
	return g.Get(names)
}

// valid refuses what gosnmp lets pass: a packet that is no response, one of
// another version, and one without a request id, which it takes for an answer
// to any request.
func valid(g *gosnmp.GoSNMP, reply *gosnmp.SnmpPacket) error {
	switch {
	case reply == nil:
		return errors.New("read answer: there is none")
	case reply.Version != g.Version:
		return fmt.Errorf("read answer: it is of version %v, asked by %v", reply.Version, g.Version)
	case reply.PDUType == gosnmp.Report && len(reply.Variables) > 0:
		return fmt.Errorf("read answer: the device reports %s", reply.Variables[0].Name)
	case reply.PDUType != gosnmp.GetResponse:
		return fmt.Errorf("read answer: it is a %v, no response", reply.PDUType)
	case reply.RequestID == 0:
		return errors.New("read answer: it has no request id")
	}
	return nil
}

// open makes the socket. Version 3 learns the engine's id and time anew with
// each, which costs one more request and forgets those of a replaced device.
func (s *session) open(ctx context.Context, v gosnmp.SnmpVersion) error {
	if s.client != nil && s.client.Version == v {
		return nil
	}
	s.close()
	g, err := s.config.client(ctx, v)
	if err != nil {
		return err
	}
	g.Timeout, g.MaxOids = s.config.Timeout, maxOutlets
	if err := g.Connect(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("open socket: %w", err)
	}
	s.client = g
	var seed [4]byte
	_, _ = rand.Read(seed[:]) // never fails
	s.id = binary.NativeEndian.Uint32(seed[:]) & maxID
	return nil
}

// client makes one that is not connected yet.
func (c Config) client(ctx context.Context, v gosnmp.SnmpVersion) (*gosnmp.GoSNMP, error) {
	host, number, err := net.SplitHostPort(c.Address)
	if err != nil {
		return nil, fmt.Errorf("read address: %w", err)
	}
	p, err := strconv.ParseUint(number, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("read address: %w", err)
	}
	g := &gosnmp.GoSNMP{Target: host, Port: uint16(p), Transport: "udp", Version: v, Context: ctx}
	if v == gosnmp.Version3 {
		c.secure(g)
	} else {
		g.Community = c.Community
	}
	return g, nil
}

// secure sets the user of version 3.
func (c Config) secure(g *gosnmp.GoSNMP) {
	p := &gosnmp.UsmSecurityParameters{
		UserName:               c.User,
		AuthenticationProtocol: gosnmp.NoAuth, PrivacyProtocol: gosnmp.NoPriv,
	}
	g.MsgFlags = gosnmp.NoAuthNoPriv
	if c.AuthProtocol != "" {
		g.MsgFlags = gosnmp.AuthNoPriv
		p.AuthenticationProtocol, p.AuthenticationPassphrase = authProtocols[c.AuthProtocol], c.AuthPassword
	}
	if c.PrivProtocol != "" {
		g.MsgFlags = gosnmp.AuthPriv
		p.PrivacyProtocol, p.PrivacyPassphrase = privProtocols[c.PrivProtocol], c.PrivPassword
	}
	g.SecurityModel, g.SecurityParameters, g.ContextName = gosnmp.UserSecurityModel, p, c.Context
}

func (s *session) close() {
	if s.client != nil {
		_ = s.client.Close()
		s.client = nil
	}
}

// get reads objects, all of which must exist.
func (s *session) get(ctx context.Context, oids []string) ([]gosnmp.SnmpPDU, error) {
	return s.ask(ctx, get, names(oids))
}

// some reads those of the objects that exist. A device of version 1 answers
// nothing at all if one is missing, and says which (RFC 1157 section 4.1.2);
// one of the others leaves it out (RFC 3416 section 4.2.1). It takes at most
// one request for each object and one more.
func (s *session) some(ctx context.Context, oids []string) (values, error) {
	found := values{}
	for len(oids) > maxBinds {
		part, err := s.some(ctx, oids[:maxBinds])
		if err != nil {
			return nil, err
		}
		maps.Copy(found, part)
		oids = oids[maxBinds:]
	}
	for len(oids) > 0 {
		vars, err := s.get(ctx, oids)
		var refused *statusError
		switch {
		case err == nil:
			return found, keep(found, oids, vars)
		case !errors.As(err, &refused):
			return nil, err
		case refused.status == gosnmp.NoSuchName && len(oids) == 1:
			return found, nil
		case refused.status == gosnmp.NoSuchName && refused.index >= 1 && refused.index <= len(oids):
			oids = slices.Delete(slices.Clone(oids), refused.index-1, refused.index)
		case (refused.status == gosnmp.NoSuchName || refused.status == gosnmp.TooBig) && len(oids) > 1:
			half := len(oids) / 2
			part, err := s.some(ctx, oids[:half])
			if err != nil {
				return nil, err
			}
			maps.Copy(found, part)
			oids = oids[half:]
		default:
			return nil, err
		}
	}
	return found, nil
}

// keep adds the objects that exist to found.
func keep(found values, oids []string, vars []gosnmp.SnmpPDU) error {
	if err := answers(oids, vars); err != nil {
		return err
	}
	for i, v := range vars {
		if exists(v) {
			found[oids[i]] = v
		}
	}
	return nil
}

// names makes the objects of a request.
func names(oids []string) []gosnmp.SnmpPDU {
	binds := make([]gosnmp.SnmpPDU, len(oids))
	for i, oid := range oids {
		binds[i] = gosnmp.SnmpPDU{Name: "." + oid, Type: gosnmp.Null}
	}
	return binds
}

// dotless is a name as the families have it.
func dotless(oid string) string { return strings.TrimPrefix(oid, ".") }
