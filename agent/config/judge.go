package config

import (
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
)

// An Effect is what a change asks of an agent that runs.
type Effect uint8

// The effects, from the mildest on.
const (
	_       Effect = iota
	Live           // done in the running agent
	Restart        // an agent that starts and adopts what this node holds does it
	Both           // both agents must be down at once, else there could be two owners
)

// String returns live, restart or stop both.
func (e Effect) String() string {
	switch e {
	case Live:
		return "live"
	case Restart:
		return "restart"
	case Both:
		return "stop both"
	}
	return "unknown"
}

// A Judged is a change with what it asks for, and why or how.
type Judged struct {
	Change
	Effect Effect
	Why    string
}

// effects of keys, by the longest beginning that fits. What is not named here
// asks for a restart, which is right for every key that one agent reads alone.
var effects = []struct {
	rule   string
	effect Effect
	why    string
}{
	{"cluster", Both, "frames of another cluster are dropped: each node would think the other dead"},
	{"node", Both, "ids and keys follow the names and their order"},
	{"mode", Restart, "the machine that decides is made with it"},
	{"profile", Restart, "the machine that decides is made with its intervals"},
	{"timing", Restart, "the machine that decides and the kernel's lease are made with it"},
	{"link", Restart, "a link's place and settings are part of the session"},
	{"group", Restart, "heartbeats tell the groups by their place"},
	{"group.addresses", Live, "kernel, gate and announcements follow; the owner asks first whether anybody else answers"},
	{"group.routes", Live, "the owner's kernel follows"},
	{"group.rules", Live, "the owner's kernel follows"},
	{"group.gate_transit", Live, "the gate follows"},
	{"group.announce", Live, "from the next announcement on"},
	{"group.virtual_mac", Restart, "the device is made by a start; an owner that gets its first one takes the addresses along"},
	{"group.service", Live, "what went is stopped, what came is started where the group is; others are not touched"},
	{"fence", Live, "the next fence; never while one is under way"},
	{"fence.retry", Restart, "the machine that decides is made with it"},
	{"monitor", Live, "one that stays is not touched; one that went takes its vote back; one that came votes when it has looked often enough, and what was said of one that changed stands until then"},
	{"sensors", Live, "from the next round on; what was learned, sources that stay and votes of what did not change stay; what was ignored has to be read first"},
	{"notify", Live, "a target that stays, or changes, keeps what waits for it; one that came is told what happens from now on; what waits for one that went is dropped"},
	{"watchdog", Restart, "the device is opened once"},
	{"state_dir", Restart, "the journal is opened once; the new one begins empty unless it is moved along"},
	{"key_file", Restart, "the path is read once; what is in the file is taken up by itself"},
}

// effectOf finds the row of a key.
func effectOf(rule string) (Effect, string) {
	effect, why, best := Restart, "it is read when the agent starts", -1
	for _, e := range effects {
		if (rule == e.rule || strings.HasPrefix(rule, e.rule+".")) && len(e.rule) > best {
			effect, why, best = e.effect, e.why, len(e.rule)
		}
	}
	return effect, why
}

// Judge says what each change between two configurations asks for. It looks at
// what the files mean, too: a change that takes away all that both nodes agree
// on is worse than its key.
func Judge(changes []Change, was, is Config) []Judged {
	var out []Judged
	worst := Effect(0)
	moved := movers(was, is)
	for _, c := range changes {
		j := Judged{Change: c}
		j.Effect, j.Why = effectOf(c.Rule)
		special(&j, was, is)
		if j.Rule == "group.addresses" && j.New != "" && moved[groupOf(j.Key)] {
			j.Effect, j.Why = Both, "an address comes from another group, which the other node may own: take it out on both nodes first, then add it"
		}
		worst = max(worst, j.Effect)
		out = append(out, j)
	}
	if worst == Live {
		out = append(out, derived(was, is)...)
	}
	return out
}

// special judges the changes whose weight is not in their key alone.
func special(j *Judged, was, is Config) {
	switch section, _, _ := strings.Cut(j.Rule, "."); section {
	case "link":
		if !sameLink(was, is) {
			j.Effect, j.Why = Both, "no link stays as it is: nodes that do not hear each other would each take the groups"
		}
	case "group":
		if !sameGroups(was, is) {
			j.Effect, j.Why = Both, "heartbeats tell the groups by their place: names and order must stay; a new one goes to the end"
		} else if j.Effect == Live && !hasGroup(was, is, j.Key) {
			j.Effect, j.Why = Restart, "heartbeats tell the groups by their place: both agents are made for so many"
		} else if j.Effect == Live && hasVirtual(was.Groups, is.Groups, j.Key) && slices.Contains([]string{"addresses", "routes", "rules"}, strings.Split(j.Rule, ".")[1]) {
			j.Effect, j.Why = Restart, "virtual devices are made when the agent starts"
		}
	case "fence":
		if (was.Fence == nil) != (is.Fence == nil) {
			j.Effect, j.Why = Restart, "the machine that decides is made with or without a fence"
		}
	}
}

// sameLink says whether a link stays what and where it is: what is told over it
// is understood on both sides of a reload.
func sameLink(was, is Config) bool {
	for i := range min(len(was.Links), len(is.Links)) {
		if was.Links[i] == is.Links[i] {
			return true
		}
	}
	return false
}

// sameGroups says whether every place that both have is the same group's.
func sameGroups(was, is Config) bool {
	for i := range min(len(was.Groups), len(is.Groups)) {
		if was.Groups[i].Name != is.Groups[i].Name {
			return false
		}
	}
	return true
}

// hasVirtual says whether the group that a key is of has virtual devices.
func hasVirtual(was, is []Group, key string) bool {
	for _, list := range [][]Group{was, is} {
		for i := range list {
			if g := &list[i]; g.Name == groupOf(key) && len(g.Virtual) > 0 {
				return true
			}
		}
	}
	return false
}

// hasGroup says whether both know the group that a key is of.
func hasGroup(was, is Config, key string) bool {
	for i := range min(len(was.Groups), len(is.Groups)) {
		if was.Groups[i].Name == groupOf(key) {
			return true
		}
	}
	return false
}

// groupOf names the group that a key is of.
func groupOf(key string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(key, "group["), "]")
	return name
}

// movers names the groups that get an address from another one.
func movers(was, is Config) map[string]bool {
	home, out := map[netip.Addr]string{}, map[string]bool{}
	for _, g := range was.Groups {
		for _, a := range g.VIP.Addresses {
			home[a.Prefix.Addr()] = g.Name
		}
	}
	for _, g := range is.Groups {
		for _, a := range g.VIP.Addresses {
			if from, ok := home[a.Prefix.Addr()]; ok && from != g.Name {
				out[g.Name] = true
			}
		}
	}
	return out
}

// derived finds what live keys mean beyond themselves: intervals that follow
// from the fence, and what the machines know of the services.
func derived(was, is Config) (out []Judged) {
	add := func(key, old, new, why string) {
		out = append(out, Judged{Change{Key: key, Rule: key, Old: old, New: new}, Restart, why})
	}
	if was.Timing != is.Timing {
		add("timing", fmt.Sprintf("fence_time %s, race %s", show(was.Timing.FenceTime), show(was.Timing.Race)),
			fmt.Sprintf("fence_time %s, race %s", show(is.Timing.FenceTime), show(is.Timing.Race)),
			"it follows from the other changes; set fence_time in [timing] to keep it")
	}
	for i, g := range is.Groups {
		a, b := was.Groups[i], g
		if (len(a.Services) == 0) != (len(b.Services) == 0) {
			add("group["+g.Name+"].service", fmt.Sprint(len(a.Services)), fmt.Sprint(len(b.Services)), "the machine that decides is made with or without services")
		}
		if a.FencesOnStop() != b.FencesOnStop() {
			add("group["+g.Name+"].service.on_stop_failure", fmt.Sprint(a.FencesOnStop()), fmt.Sprint(b.FencesOnStop()), "the machine that decides is made with it")
		}
	}
	return out
}

// FencesOnStop says whether any service of the group must not be left running
// where the group is not.
func (g Group) FencesOnStop() bool {
	for _, s := range g.Services {
		if s.OnStopFailure == "fence" {
			return true
		}
	}
	return false
}

// Alike says whether a service is the same one to its driver: only how it is
// looked after may differ.
func (s Service) Alike(o Service) bool {
	return s.Name == o.Name && s.Driver == o.Driver && s.Unit == o.Unit && s.Promote == o.Promote &&
		slices.Equal(s.Start, o.Start) && slices.Equal(s.Stop, o.Stop) && slices.Equal(s.Status, o.Status) &&
		slices.Equal(s.Args, o.Args) && maps.Equal(s.Params, o.Params)
}

// SameServices says whether two lists of services mean the same, wherever they
// stand in their files.
func SameServices(a, b []Service) bool {
	return slices.EqualFunc(a, b, func(s, o Service) bool {
		s.Line, s.ParamLines, o.Line, o.ParamLines = 0, nil, 0, nil
		return reflect.DeepEqual(s, o)
	})
}

// SameFence is SameServices for the fence.
func SameFence(a, b *Fence) bool { return reflect.DeepEqual(a.unplaced(), b.unplaced()) }

// unplaced is the fence wherever it stands in the file.
func (f *Fence) unplaced() *Fence {
	if f == nil {
		return nil
	}
	c := *f
	c.Devices = slices.Clone(f.Devices)
	for i := range c.Devices {
		c.Devices[i].Line = 0
	}
	return &c
}
