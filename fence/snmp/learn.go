package snmp

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/gosnmp/gosnmp"

	"github.com/twinbeat/twinbeat/fence"
)

// maxDigits bounds the decimals that a meter may claim to have.
const maxDigits = 6

// facts are what was learnt of a device.
type facts struct {
	id     string // its sysObjectID
	family *family
	first  string   // index of the first row
	rows   []string // indexes of the rows that have names, once they were walked
	who    []string // objects that tell its identity, once they were asked for
}

// errNoRow says that a table has no such row.
var errNoRow = fmt.Errorf("%w in the table", fence.ErrNoOutlet)

// learn finds out what the device is, unless that is known.
func (u *Unit) learn(ctx context.Context) error {
	if u.facts != nil {
		return nil
	}
	if u.config.Version == "" {
		u.session.version = nil // new firmware may have another
	}
	vars, err := u.session.get(ctx, []string{sysObjectID})
	if err == nil {
		err = answers([]string{sysObjectID}, vars)
	}
	if err != nil {
		return fmt.Errorf("read sysObjectID: %w", err)
	}
	id, ok := text(vars[0])
	if !ok {
		return fmt.Errorf("read sysObjectID: it is %s", show(vars[0]))
	}
	var tried []string
	for i := range families {
		f := &families[i]
		if !f.claims(id) || !u.allows(f) {
			continue
		}
		tried = append(tried, f.name)
		first, err := u.prove(ctx, f)
		if err != nil {
			return fmt.Errorf("look for the outlet table of %s: %w", f.name, err)
		}
		if first != "" {
			u.facts = &facts{id: id, family: f, first: first}
			return nil
		}
	}
	if tried == nil {
		return fmt.Errorf("sysObjectID %s is of no family of %q: %w", id, u.config.Vendor, fence.ErrNotSwitchable)
	}
	return fmt.Errorf("sysObjectID %s, but no outlet table of %s: metered only? %w", id, strings.Join(tried, ", "), fence.ErrNotSwitchable)
}

func (u *Unit) allows(f *family) bool {
	return u.config.Vendor == "" || u.config.Vendor == "snmp" || u.config.Vendor == f.vendor()
}

// prove returns the index of the first row of the family's table, or nothing
// if there is no such table, or no command for that row.
func (u *Unit) prove(ctx context.Context, f *family) (string, error) {
	if f.mark.oid != "" {
		said, err := u.session.some(ctx, []string{f.mark.oid})
		if err != nil {
			return "", err
		}
		word, there := text(said[f.mark.oid])
		if !f.mark.proves(word, there) {
			return "", nil
		}
	}
	r, err := u.after(ctx, f.status, f.status)
	if err != nil || r == nil || strings.Count(r.index, ".")+1 != f.depth {
		return "", err
	}
	if _, ok := integer(r.value); !ok {
		return "", nil
	}
	ok, err := u.takesOrders(ctx, f, r.index)
	if !ok {
		return "", err
	}
	return r.index, nil
}

// takesOrders says whether there are commands for a row, and the device does
// not say that it switches no outlet at all.
func (u *Unit) takesOrders(ctx context.Context, f *family, index string) (bool, error) {
	oids := []string{f.off.column + "." + index, f.on.column + "." + index}
	if f.blind || f.on.column == f.status {
		oids = nil
	}
	said, err := u.session.some(ctx, append(slices.Clone(oids), optional(f.count)...))
	if err != nil {
		return false, err
	}
	for _, oid := range oids {
		if _, ok := integer(said[oid]); !ok {
			return false, nil
		}
	}
	n, counts := quantity(said[f.count])
	return !counts || n > 0, nil
}

// optional is the names that there are among some that may be empty.
func optional(oids ...string) []string {
	return slices.DeleteFunc(oids, func(oid string) bool { return oid == "" })
}

// A row is one row of a table, by one of its columns.
type row struct {
	index string
	value gosnmp.SnmpPDU
}

// after returns the row of a column that comes after a name, or nil at its end.
func (u *Unit) after(ctx context.Context, column, from string) (*row, error) {
	vars, err := u.session.ask(ctx, next, names([]string{from}))
	var refused *statusError
	if errors.As(err, &refused) && refused.status == gosnmp.NoSuchName {
		return nil, nil // the end of everything, by version 1
	}
	if err != nil {
		return nil, err
	}
	if len(vars) != 1 {
		return nil, fmt.Errorf("read answer: it has %d objects, asked for 1", len(vars))
	}
	index, within := strings.CutPrefix(dotless(vars[0].Name), column+".")
	if !within || !exists(vars[0]) {
		return nil, nil
	}
	return &row{index, vars[0]}, nil
}

// rows walks a column. An agent that goes in circles is not followed.
func (u *Unit) rows(ctx context.Context, column string) ([]row, error) {
	var all []row
	for from := column; ; {
		r, err := u.after(ctx, column, from)
		if err != nil {
			return nil, fmt.Errorf("walk %s: %w", short(column), err)
		}
		if r == nil {
			return all, nil
		}
		if len(all) > 0 && compare(r.index, all[len(all)-1].index) <= 0 {
			return nil, fmt.Errorf("walk %s: row %s comes after row %s", short(column), r.index, all[len(all)-1].index)
		}
		if len(all) == maxOutlets {
			return nil, fmt.Errorf("walk %s: more than %d rows", short(column), maxOutlets)
		}
		all = append(all, *r)
		from = column + "." + r.index
	}
}

// compare orders indexes as SNMP does.
func compare(a, b string) int {
	number := func(s string) (out []int) {
		for _, part := range strings.Split(s, ".") {
			n, err := strconv.Atoi(part)
			if err != nil {
				n = math.MaxInt
			}
			out = append(out, n)
		}
		return out
	}
	return slices.Compare(number(a), number(b))
}

// find finds the row that a selector means, and learns how to read it. It
// returns what it read, and says whether the selector is a name. What could
// mean two rows means none.
func (u *Unit) find(ctx context.Context, selector string) (p *plan, said values, named bool, err error) {
	if err := u.learn(ctx); err != nil {
		return nil, nil, false, err
	}
	f := u.facts.family
	index, err := u.byNumber(ctx, f, selector)
	if err != nil {
		return nil, nil, false, err
	}
	if index != "" {
		p, said, err = u.plan(ctx, index, map[string]bool{})
		if err == nil && index == selector && p.label() != index {
			err = fmt.Errorf("row %s is outlet %d of strip %d: select it as %s: %w", index, p.number, p.module, p.label(), fence.ErrNoOutlet)
		}
		if !errors.Is(err, errNoRow) {
			return p, said, false, err
		}
	}
	if index, err = u.byName(ctx, f, selector); err != nil {
		return nil, nil, true, err
	}
	p, said, err = u.plan(ctx, index, map[string]bool{})
	if err == nil {
		p.watchName()
	}
	return p, said, true, err
}

// byName finds the row with a name. The rows that there are, are remembered.
func (u *Unit) byName(ctx context.Context, f *family, name string) (string, error) {
	if f.outletName == "" {
		return "", fmt.Errorf("outlet %q: %w: a %s tells no names", name, fence.ErrNoOutlet, f.name)
	}
	names, err := u.names(ctx, f.outletName)
	if err != nil {
		return "", err
	}
	index := ""
	for _, r := range names {
		is, ok := text(r.value)
		if !ok || is != name {
			continue
		}
		if index != "" {
			return "", fmt.Errorf("outlet %q: rows %s and %s both have that name: %w", name, index, r.index, fence.ErrNoOutlet)
		}
		index = r.index
	}
	if index == "" {
		return "", fmt.Errorf("outlet %q: %w by index or name", name, fence.ErrNoOutlet)
	}
	return index, nil
}

// names reads the column of names. The first time it walks, with a request a
// row; then it asks for the rows that it knows, many to a request.
func (u *Unit) names(ctx context.Context, column string) ([]row, error) {
	if u.facts.rows == nil {
		rows, err := u.rows(ctx, column)
		for _, r := range rows {
			u.facts.rows = append(u.facts.rows, r.index)
		}
		return rows, err
	}
	var oids []string
	for _, index := range u.facts.rows {
		oids = append(oids, column+"."+index)
	}
	said, err := u.session.some(ctx, oids)
	if err != nil {
		return nil, err
	}
	var rows []row
	for i, index := range u.facts.rows {
		rows = append(rows, row{index, said[oids[i]]})
	}
	return rows, nil
}

// numeric says whether a selector can be an index.
func numeric(s string) bool {
	for _, part := range strings.Split(s, ".") {
		if _, err := strconv.ParseUint(part, 10, 31); err != nil {
			return false
		}
	}
	return true
}

// byNumber finds the row of "index", of "outlet" where all rows have different
// outlets, or of "strip.outlet". An empty index says that there is none; that
// of an "index" is for the plan to see.
func (u *Unit) byNumber(ctx context.Context, f *family, selector string) (string, error) {
	parts := strings.Count(selector, ".") + 1
	switch {
	case !numeric(selector):
		return "", nil
	case parts == f.depth:
		return selector, nil
	case f.depth == 1 && parts == 2 && f.module != "":
		return u.ofChain(ctx, f, selector)
	case parts == 1:
		return u.lastPart(ctx, f, selector)
	}
	return "", nil
}

// lastPart finds the one row whose index ends in an outlet's number.
func (u *Unit) lastPart(ctx context.Context, f *family, number string) (string, error) {
	rows, err := u.rows(ctx, f.status)
	if err != nil {
		return "", err
	}
	found := ""
	for _, r := range rows {
		if !strings.HasSuffix(r.index, "."+number) {
			continue
		}
		if found != "" {
			return "", fmt.Errorf("outlet %s could be %s or %s: %w", number, found, r.index, fence.ErrNoOutlet)
		}
		found = r.index
	}
	return found, nil
}

// ofChain finds the row of an outlet of a strip in a chain.
func (u *Unit) ofChain(ctx context.Context, f *family, selector string) (string, error) {
	rows, err := u.rows(ctx, f.number)
	if err != nil {
		return "", err
	}
	module, number, _ := strings.Cut(selector, ".")
	for _, r := range rows {
		if plain(r.value) != number {
			continue
		}
		oid := f.module + "." + r.index
		said, err := u.session.some(ctx, []string{oid})
		if err != nil {
			return "", err
		}
		if n, ok := integer(said[oid]); ok && strconv.Itoa(n) == module {
			return r.index, nil
		}
	}
	return "", nil
}

// plan learns what one row can be asked for. It returns what it read for that.
// Columns that are absent are not asked for; those that prove to be are added.
func (u *Unit) plan(ctx context.Context, index string, absent map[string]bool) (*plan, values, error) {
	f := u.facts.family
	p := &plan{family: f, era: u.era, index: index, status: f.status + "." + index}
	at := func(column string) string { return column + "." + index }
	wanted := []string{sysObjectID, rowOf(f.status)}
	for _, column := range optional(f.pending, f.outletName, f.module, f.number) {
		wanted = append(wanted, rowOf(column))
	}
	for _, m := range f.meters {
		wanted = append(wanted, m.wants()...)
	}
	slices.Sort(wanted)
	wanted = slices.DeleteFunc(slices.Compact(wanted), func(name string) bool { return absent[name] })
	var oids []string
	for _, name := range wanted {
		oids = append(oids, strings.Replace(name, anyRow, index, 1))
	}
	said, err := u.session.some(ctx, oids)
	if err != nil {
		return nil, nil, err
	}
	for i, name := range wanted {
		absent[name] = !exists(said[oids[i]])
	}
	if !exists(said[p.status]) {
		return nil, nil, fmt.Errorf("outlet %s: %w of %s", index, errNoRow, f.name)
	}
	p.checks = []check{{sysObjectID, "sysObjectID", u.facts.id}}
	p.oids = []string{sysObjectID, p.status}
	if v := said[at(f.pending)]; f.pending != "" && exists(v) {
		p.pending = at(f.pending)
		p.oids = append(p.oids, p.pending)
	}
	if v, ok := text(said[at(f.outletName)]); ok && f.outletName != "" {
		p.name = v
	}
	p.place(said)
	if err := u.measure(ctx, p, said); err != nil {
		return nil, nil, err
	}
	return p, said, nil
}

// anyRow stands for the index of a row in an object's name.
const anyRow = "%"

func rowOf(column string) string { return column + "." + anyRow }

// place takes in where in a chain the outlet is.
func (p *plan) place(said values) {
	for _, c := range []struct {
		column, what string
		to           *int
	}{{p.family.module, "its strip", &p.module}, {p.family.number, "its number on the strip", &p.number}} {
		if c.column == "" {
			continue
		}
		oid := c.column + "." + p.index
		if n, ok := integer(said[oid]); ok {
			*c.to = n
			p.checks = append(p.checks, check{oid, c.what, strconv.Itoa(n)})
			p.oids = append(p.oids, oid)
		}
	}
}

// watchName makes the outlet's name one of the checks.
func (p *plan) watchName() {
	oid := p.family.outletName + "." + p.index
	p.checks = append(p.checks, check{oid, "its name", p.name})
	p.oids = append(p.oids, oid)
}

// wants are the objects that say whether a row has the meter, or where it is.
func (m meter) wants() []string {
	if m.via != "" {
		return []string{rowOf(m.via)}
	}
	names := []string{rowOf(m.column) + m.tail}
	if m.digits != "" {
		names = append(names, rowOf(m.digits)+m.tail)
	}
	return append(names, optional(m.counted)...)
}

// measure finds the meter that shows the outlet's load.
func (u *Unit) measure(ctx context.Context, p *plan, said values) error {
	for _, m := range p.family.meters {
		oid := m.column + "." + p.index + m.tail
		if m.via != "" {
			var err error
			if oid, err = u.elsewhere(ctx, p, m, said); err != nil {
				return err
			}
		}
		scale, inUse := m.step(p.index, said)
		if _, reads := quantity(said[oid]); !reads || !inUse {
			continue
		}
		p.load, p.scope, p.unit, p.scale = oid, m.scope, m.unit, scale
		p.oids = append(p.oids, oid)
		return nil
	}
	return nil
}

// step is what one step of a meter is worth, and whether the meter is in use.
func (m meter) step(index string, said values) (float64, bool) {
	if m.counted != "" {
		n, ok := quantity(said[m.counted])
		return m.scale, ok && n > 0
	}
	if m.digits != "" {
		n, ok := quantity(said[m.digits+"."+index+m.tail])
		return math.Pow10(-int(min(n, maxDigits))), ok && n <= maxDigits
	}
	return m.scale, true
}

// elsewhere finds the row of a meter in another table, and reads it.
func (u *Unit) elsewhere(ctx context.Context, p *plan, m meter, said values) (string, error) {
	want, ok := integer(said[m.via+"."+p.index])
	if !ok || want <= 0 {
		return "", nil // bank 0: it has none
	}
	rows, err := u.rows(ctx, m.match)
	if err != nil {
		return "", err
	}
	for _, r := range rows {
		if n, ok := integer(r.value); !ok || n != want {
			continue
		}
		oid := m.column + "." + r.index
		ask := []string{oid}
		if m.module != "" {
			ask = append(ask, m.module+"."+r.index)
		}
		more, err := u.session.some(ctx, ask)
		if err != nil {
			return "", err
		}
		if m.module != "" {
			if n, ok := integer(more[ask[1]]); !ok || n != p.module {
				continue // of another strip in the chain
			}
		}
		said[oid] = more[oid]
		return oid, nil
	}
	return "", nil
}

// identify says what the device is.
func (u *Unit) identify(ctx context.Context) (fence.Identity, error) {
	if err := u.learn(ctx); err != nil {
		return fence.Identity{}, err
	}
	f := u.facts.family
	id := fence.Identity{Family: f.name, ObjectID: u.facts.id}
	wanted := u.facts.who
	if wanted == nil {
		wanted = slices.Concat([]string{sysObjectID, f.status + "." + u.facts.first}, f.model, f.serial, f.firmware, optional(f.count))
	}
	said, err := u.session.some(ctx, wanted)
	if err != nil {
		return id, err
	}
	if now, _ := text(said[sysObjectID]); now != id.ObjectID {
		u.forget()
		return id, &strangerError{fmt.Sprintf("sysObjectID is %q now, was %q", now, id.ObjectID)}
	}
	for i, oid := range wanted {
		if !exists(said[oid]) && (i < 2 || u.facts.who != nil) {
			u.forget()
			return id, &goneError{oid}
		}
	}
	u.facts.who = slices.DeleteFunc(wanted, func(oid string) bool { return !exists(said[oid]) })
	firstOf := func(oids []string) string {
		for _, oid := range oids {
			if s, ok := text(said[oid]); ok && s != "" {
				return s
			}
		}
		return ""
	}
	id.Model, id.Serial, id.Firmware = firstOf(f.model), firstOf(f.serial), firstOf(f.firmware)
	if n, ok := quantity(said[f.count]); ok && n <= maxOutlets {
		id.Outlets = int(n)
	}
	if f.count != "" && exists(said[f.count]) && id.Outlets == 0 {
		u.forget()
		return id, fmt.Errorf("the device says that it switches no outlet: metered only: %w", fence.ErrNotSwitchable)
	}
	return id, nil
}
