package model

// A world is a setting of pair.pml: what may go wrong, and how often.
type world struct {
	name  string
	says  string // what holds in it
	flags string
	full  bool // only with -full
}

// quick is the timing of mode fence where only who owns is asked: nothing of
// that rests on the boot wait or the race.
const quick = " -DINIT=2 -DRACE=1"

// worlds are explored exhaustively: every state, every order of every fault
// within the budget. In each, no state has two owners of a group.
var worlds = []world{
	{"fence-links", "links cut in any direction and mended", "-DMODE=1 -DCUTS=1 -DFAULTS=2" + quick, false},
	{"fence-loss", "frames lost or late", "-DMODE=1 -DLOSS=1 -DFAULTS=2" + quick, false},
	{"fence-crash", "power, kills, a device that fails or does not answer", "-DMODE=1 -DPOWER=1 -DKILL=1 -DDEVICE=1 -DFAULTS=2" + quick, false},
	{"fence-stall", "a cut, and a stall at any point of a turn", "-DMODE=1 -DSTALL=1 -DCUT=1 -DFAULTS=1" + quick, false},
	{"fence-orders", "a cut, and handover, maintenance, stop, confirm-dead", "-DMODE=1 -DORDERS=1 -DCUT=1 -DFAULTS=2" + quick, false},
	{"fence-groups", "two groups, a cut or a stall", "-DMODE=1 -DG=2 -DCUT=1 -DSTALL=1 -DFAULTS=1" + quick, false},
	{"fence-both", "one cut of a working pair never switches both off", "-DMODE=1 -DCUT=1 -DBOTHOFF=1 -DFAULTS=1", false},
	{"fence-both-groups", "nor with an owner on each side", "-DMODE=1 -DG=2 -DCUT=1 -DBOTHOFF=1 -DFAULTS=1", false},
	{"fence-loop", "one cut for good leads to three fence orders at most: the owner's, and one for each boot token", "-DMODE=1 -DCUT=1 -DSHOTS=3 -DFAULTS=1", false},
	{"fence-loop-groups", "nor to more with an owner on each side", "-DMODE=1 -DG=2 -DCUT=1 -DSHOTS=3 -DFAULTS=1", false},
	{"fence-heal", "a healed world has one owner, and keeps it", "-DMODE=1 -DHEAL=1 -DCUT=1 -DSTALL=1 -DPOWER=1 -DFAULTS=1", false},

	{"silence-crash", "no LAN; stalls, kills, power", "-DMODE=2 -DSTALL=1 -DKILL=1 -DPOWER=1 -DNOLAN=1 -DFAULTS=2", false},
	{"silence-links", "links cut, or the LAN, not at once", "-DMODE=2 -DCUTS=1 -DLANCUT=1 -DFAULTS=2", false},
	{"silence-late", "frames held up; a stall", "-DMODE=2 -DLATE=1 -DSTALL=1 -DFAULTS=2", false},
	{"silence-loss", "frames lost or late; LAN whole", "-DMODE=2 -DLOSS=1 -DFAULTS=5", false},
	{"silence-orders", "a cut, and orders", "-DMODE=2 -DORDERS=1 -DCUT=1 -DFAULTS=2", false},
	{"silence-orders-stall", "stalls, and orders", "-DMODE=2 -DORDERS=1 -DSTALL=1 -DFAULTS=2", false},
	{"silence-groups", "two groups, a stall", "-DMODE=2 -DG=2 -DSTALL=1 -DNOLAN=1 -DFAULTS=1", false},
	{"silence-boot", "two that boot apart; a stall, a kill", "-DMODE=2 -DCUTS=1 -DSTALL=1 -DKILL=1 -DFAULTS=2", false},
	{"silence-heal", "a healed world has one owner, and keeps it", "-DMODE=2 -DHEAL=1 -DCUTS=1 -DSTALL=1 -DPOWER=1 -DKILL=1 -DFAULTS=1", false},

	{"lease-stall", "a cut, no LAN; stalls", "-DMODE=3 -DSTALL=1 -DCUT=1 -DNOLAN=1 -DFAULTS=2", false},
	{"lease-crash", "links cut, no LAN; stalls, kills, power", "-DMODE=3 -DCUTS=1 -DSTALL=1 -DKILL=1 -DPOWER=1 -DNOLAN=1 -DFAULTS=2", false},
	{"lease-late", "frames held up, no LAN; stalls", "-DMODE=3 -DLATE=1 -DSTALL=1 -DNOLAN=1 -DFAULTS=2", false},
	{"lease-loss", "frames lost or late, no LAN", "-DMODE=3 -DLOSS=1 -DNOLAN=1 -DFAULTS=5", false},
	{"lease-orders", "a cut, no LAN, orders", "-DMODE=3 -DORDERS=1 -DCUT=1 -DNOLAN=1 -DFAULTS=2", false},
	{"lease-groups", "two groups, a cut, a stall", "-DMODE=3 -DG=2 -DCUT=1 -DSTALL=1 -DNOLAN=1 -DFAULTS=2", false},
	{"lease-fence", "a device as well", "-DMODE=3 -DHASFENCE=1 -DCUT=1 -DPOWER=1 -DKILL=1 -DFAULTS=2", false},
	{"lease-heal", "a healed world has one owner, and keeps it", "-DMODE=3 -DHEAL=1 -DCUTS=1 -DSTALL=1 -DPOWER=1 -DKILL=1 -DFAULTS=1", false},

	{"fence-crash-links", "links, power, kills, the device", "-DMODE=1 -DPOWER=1 -DKILL=1 -DDEVICE=1 -DCUTS=1 -DFAULTS=2" + quick, true},
	{"fence-stall-2", "a cut, and stalls", "-DMODE=1 -DSTALL=1 -DCUT=1 -DFAULTS=2" + quick, true},
	{"silence-links-stall", "links cut, and the LAN, not at once; stalls", "-DMODE=2 -DCUTS=1 -DLANCUT=1 -DSTALL=1 -DFAULTS=2", true},
	{"silence-crash-3", "no LAN; stalls, kills, power", "-DMODE=2 -DSTALL=1 -DKILL=1 -DPOWER=1 -DNOLAN=1 -DFAULTS=3", true},
	{"silence-loss-9", "frames lost or late; LAN whole", "-DMODE=2 -DLOSS=1 -DFAULTS=9", true},
	{"lease-crash-3", "links cut, no LAN; stalls, kills, power", "-DMODE=3 -DCUTS=1 -DSTALL=1 -DKILL=1 -DPOWER=1 -DNOLAN=1 -DFAULTS=3", true},
	{"lease-loss-9", "frames lost or late, no LAN", "-DMODE=3 -DLOSS=1 -DNOLAN=1 -DFAULTS=9", true},
	{"silence-heal-2", "a healed world has one owner, and keeps it", "-DMODE=2 -DHEAL=1 -DCUTS=1 -DSTALL=1 -DPOWER=1 -DKILL=1 -DFAULTS=2", true},
	{"lease-heal-2", "a healed world has one owner, and keeps it", "-DMODE=3 -DHEAL=1 -DCUTS=1 -DSTALL=1 -DPOWER=1 -DKILL=1 -DFAULTS=2", true},
}

// wrongs is what the model must be able to find.
var wrongs = []wrong{
	{"the kernel grants and renews for a turn of any age", "silence-crash", "-DMUT_NO_MARK=1", "", oneOwner},
	{"RELEASED leaves before the gate closes", "silence-orders-stall", "-DMUT_SAY_FIRST=1", "", oneOwner},
	{"takeover shorter than lease and window", "silence-crash", "-DTAKE=3", "", oneOwner},
	{"takeover shorter than lease, window and acknowledgement", "lease-stall", "-DTAKE=5", "", oneOwner},
	{"a window longer than the takeover allows", "silence-crash", "-DWINDOW=2 -DTAKE=4", "", oneOwner},
	{"no veto", "silence-links", "-DMUT_NO_VETO=1", "", oneOwner},
	{"probes do not hear probes", "silence-boot", "-DMUT_DEAF_PROBE=1", "", oneOwner},
	{"links and LAN cut at once, which mode silence does not promise", "silence-links", "-DAPART=0", "", oneOwner},
	{"the device lies", "fence-links", "-DMUT_LIAR=1", "", oneOwner},
	{"the race is shorter than the fence", "fence-both", "-DRACE=3", "", notBoth},
	{"the boot token is not spent", "fence-loop", "-DMUT_TOKEN=1", "", noLoop},
	{"the bound on fence orders is the least", "fence-loop", "-DSHOTS=2", "", noLoop},
	{"no CLAIM, mode fence", "fence-heal", "-DMUT_NO_CLAIM=1", "", oneAgain},
	{"no CLAIM, mode silence", "silence-heal", "-DMUT_NO_CLAIM=1", "", oneAgain},
	{"no CLAIM, mode lease", "lease-heal", "-DMUT_NO_CLAIM=1", "", oneAgain},
}
