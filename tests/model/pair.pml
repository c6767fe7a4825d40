/* pair.pml: two nodes, one or two groups, in a world of ticks. Read README.md
 * first for what is left out. rules.pml holds what a node may do; it is printed
 * from the table in rules.go. Here stand time, links, stalls, power, the LAN and
 * the fence device: what may go wrong, and when.
 *
 * By hand:  spin -a -DMODE=2 -DFREE=1 pair.pml
 *           gcc -O2 -DSAFETY -DCOLLAPSE -DVECTORSZ=512 -o pan pan.c && ./pan -m2000000
 *
 * Time is counted in ticks; a node takes at most one turn a tick, the nodes of a
 * tick in either order. The lengths below are not those of a profile: only their
 * order matters, and it is the order that the loader demands of a configuration:
 *
 *     TAKE >= LEASE + WINDOW          (lease mode: + ACK)
 *     RACE >  the longest fence       HOLD > DEAD         INIT > TAKE
 *     an unarmed probe outlasts WINDOW
 *
 * Shorter ones are more dangerous than longer ones, so each is the smallest that
 * its inequality allows; the mutants make each one smaller and find two owners.
 */
#define FENCE   1
#define SILENCE 2
#define LEASED  3

#ifndef G
#define G 1             /* groups */
#endif
#ifndef DEAD
#define DEAD 1          /* silence of more is suspicious */
#endif
#ifndef ACK
#define ACK 2           /* contact is two-way for so long */
#endif
#ifndef LEASE
#define LEASE 3         /* what the kernel grants; a renewal may be late by WINDOW */
#endif
#ifndef WINDOW
#define WINDOW 1        /* how long after its mark a turn may renew and grant */
#endif
#ifndef TAKE
#if MODE == LEASED
#define TAKE (LEASE+WINDOW+ACK)
#else
#define TAKE (LEASE+WINDOW)
#endif
#endif
#ifndef INIT
#define INIT (TAKE+1)
#endif
#ifndef RACE
#define RACE 5
#endif
#ifndef TF
#define TF 2            /* an order to the fence device is carried out within so many */
#endif
#ifndef HOLD
#define HOLD (DEAD+2)
#endif
#ifndef LISTEN
#define LISTEN (TAKE-DEAD) /* after a stall */
#endif
#ifndef RESTART
#define RESTART 0       /* a stall restarts the clock of silence */
#endif
#ifndef LONGPROBE
#define LONGPROBE 3     /* an unarmed probe ends after two ticks */
#endif

/* What may go wrong; 0 or 1. */
#ifndef LOSS
#define LOSS 0          /* any frame may be lost or late */
#endif
#ifndef LATE
#define LATE 0          /* a frame may be held up for any time, and what follows is lost meanwhile */
#endif
#ifndef LANCUT
#define LANCUT 0        /* the LAN may fail (silence mode: not while frames are lost, see CALM) */
#endif
#ifndef NOLAN
#define NOLAN 0         /* no probe is ever answered */
#endif
#ifndef STALL
#define STALL 0         /* a process may stand still at any point of its turn */
#endif
#ifndef KILL
#define KILL 0          /* a process may be killed, and started again */
#endif
#ifndef POWER
#define POWER 0         /* power may fail, and come back */
#endif
#ifndef DEVICE
#define DEVICE 0        /* the fence device may fail, be unreachable, or not answer */
#endif
#ifndef ORDERS
#define ORDERS 0        /* handover, maintenance, stop of the agent, confirm-dead */
#endif
#ifndef CUT
#define CUT 0           /* one cut for good, in one or both directions, and the right to heal it */
#endif
#ifndef CUTS
#define CUTS 0          /* links may be cut in one or both directions, and mended */
#endif
#ifndef HEAL
#define HEAL 0          /* the world may heal; BOUND ticks later there is one owner, for ever */
#endif
#ifndef BOUND
#define BOUND 30
#endif
#ifndef FAULTS
#define FAULTS 255      /* budget of faults; 255: no limit */
#endif
#ifndef CALM
#define CALM 2          /* so long frames are whole before the LAN may fail */
#endif
#ifndef HASFENCE
#define HASFENCE 0      /* lease mode with a fence device */
#endif
/* The assumption of silence mode; 0 drops it. */
#ifndef APART
#define APART 1
#endif

/* Which rules were followed anywhere; and, for mutants, which guard is left out. */
c_decl {
\#include <stdio.h>
\#include <stdlib.h>
  static char followed[256], dropped[256], *story;
  __attribute__((constructor)) static void drop(void) { char *e = getenv("DROP"); if (e) dropped[atoi(e)&255] = 1; story = getenv("STORY"); }
  __attribute__((destructor)) static void tell(void) { for (int i = 0; i < 256; i++) if (followed[i]) printf("followed %d\n", i); }
}
#define seen(i) c_code { followed[i]=1; if (story) printf("rule %d node %d group %d\n", i, now.n, now.k%G); }

/* States, as in agent/pair. */
#define BOOT 1
#define STANDBY 2
#define ARMED 3
#define FENCING 4
#define ACTIVE 5
#define SOLO 6
#define RELEASING 7
#define ISOLATED 8
#define MAINTENANCE 9
#define FAILED 10

/* Kinds of frames; a beat is 0. */
#define CLAIM 1
#define GRANT 2
#define RELEASED 3
#define GOODBYE 4
#define NOTICE 5

/* The gate as the process thinks of it. */
#define SHUT 0
#define WANTED 1        /* addresses are on their way */
#define CLOSING 2       /* to be closed in this turn */
#define ASKED 3         /* to be granted in this turn */
#define OPEN 4

/* Where a process is. */
#define GONE 0
#define RUNS 1
#define STOPPED 2       /* between two turns */
#define BEFORE_GATES 3
#define BEFORE_RENEW 4

/* How far counters need to count. */
#define ACAP (2*DEAD+2 > DEAD+ACK+1 -> 2*DEAD+2 : DEAD+ACK+1)
#if MODE == FENCE
#define SCAP (INIT>DEAD+RACE -> INIT+1 : DEAD+RACE+1)
#elif MODE == LEASED
#define SCAP (HASFENCE -> INIT+1 : TAKE)
#else
#define SCAP (INIT+TAKE)
#endif
#define OFF 8           /* the device carried the order out: the answer is on its way */
#define NOPE 9          /* it did not */

#define K (2*G)
#define owns(s) ((s)==ACTIVE || (s)==SOLO || (s)==RELEASING)
#define owner(x) (nd[(x)/G].pw && gr[x].lease>0)
#define min(a,b) ((a)<(b) -> (a) : (b))

/* A node: computer, process, the newest of its frames in flight. */
typedef Node {
  unsigned pw : 1;       /* power */
  unsigned proc : 3;
  unsigned hang : 3;     /* ticks since the process stopped */
  unsigned mark : 2;     /* the kernel's turn mark lives for so many ticks, this one included */
  unsigned sil : 4;      /* ticks since a frame came */
  unsigned lis : 3;      /* after a stall: ticks until silence is judged in full */
  unsigned hage : 4;     /* age of the newest frame heard, by its sending */
  unsigned ack : 4;      /* age of the newest frame that the peer echoed */
  unsigned contact : 1;  /* two-way contact since the start */
  unsigned fl : 1;       /* passive until contact: at the start the journal told of a fence */
  unsigned told : 1;     /* a NOTICE was heard; in the journal, which may forget it */
  unsigned leaving : 1;  /* the agent is being stopped */
  unsigned spas : 1;     /* the peer said that it is passive */
  unsigned gone : 1;     /* the peer said GOODBYE */
  unsigned token : 1;    /* the boot token, on disk */
  unsigned right : 1;    /* a token was spent, or the peer proven off, since the start */
  unsigned fly : 4;      /* age of an order to the fence device, OFF or NOPE; 0: none */
  unsigned orphan : 1;   /* an order whose sender is gone, or wants it no more */
  unsigned cut : 1;      /* frames from here do not arrive */
  unsigned held : 1;     /* the frame in flight is held up, and what follows is lost */
  unsigned nf : 1;       /* a frame is in flight; a newer one takes its place */
  unsigned nage : 4;     /* how long */
  unsigned necho : 4;    /* age of what it echoes */
  unsigned npas : 1      /* it says passive */
};

/* A group on a node. */
typedef Group {
  unsigned st : 4;
  unsigned lease : 3;    /* what is left of the kernel lease */
  unsigned gate : 3;
  unsigned since : 3;    /* age of the state, or of becoming able */
  unsigned hold : 4;     /* takes nothing for so long */
  unsigned bid : 3;      /* 1 + age of the CLAIM; 0: none */
  unsigned doubt : 3;    /* 1 + age of the doubt; 0: none */
  unsigned pr : 3;       /* 1 + age of the probe; 0: none */
  unsigned said : 4;     /* the peer's state as last heard */
  unsigned snd : 3;      /* kind of the frame to be sent in this turn */
  unsigned pf : 1;       /* somebody answered the probe */
  unsigned parm : 1;     /* the probe was asked for by an armed node */
  unsigned adopted : 1;
  unsigned sure : 1;     /* an operator confirmed the peer dead */
  unsigned rel : 1;      /* RELEASED is repeated */
  unsigned rn : 1;       /* this turn renews */
  unsigned fw : 1;       /* the answer of the fence device is waited for */
  unsigned out : 1;      /* maintenance follows the release */
  unsigned nst : 4;      /* the frame in flight: state */
  unsigned nkind : 3     /* and kind */
};

/* The world; from n on, scratch that is zero between ticks. */
typedef World {
  unsigned est : 1;      /* the processes have a session in common */
  unsigned lan : 1;
  unsigned calm : 3;     /* ticks without a lost frame */
  unsigned healed : 1;
  unsigned ticks : 6;    /* since then */
  unsigned faults : 8;
  unsigned bothoff : 1;
  unsigned shots : 3;
  unsigned cuts : 1;
  unsigned phase : 2;    /* of the tick: one node's turn, the other's, the world's */
  unsigned first : 1;    /* the node that had the first turn */
  unsigned n : 1;        /* the node whose turn it is */
  unsigned o : 1;        /* the other */
  unsigned k : 2;        /* the group of n */
  unsigned q : 2;        /* the same group of o */
  unsigned rx_kind : 3;
  unsigned rx_st : 4;
  unsigned rx_echo : 4;
  unsigned stop : 3;     /* where the process stops in this turn */
  unsigned late : 1;     /* the frame to n stays in flight */
  unsigned lost : 1;     /* the frame from n is lost */
  unsigned brief : 1;    /* a short stall is noticed */
  unsigned alt : 1;      /* of two enabled rules the later one */
  unsigned lazy : 1;     /* rules that may be left are left */
  unsigned ord : 3       /* an order to n */
};

Node nd[2];
Group gr[K];
World w;
#define n w.n
#define o w.o
#define k w.k
#define q w.q
#define rx_kind w.rx_kind
#define rx_st w.rx_st
#define rx_echo w.rx_echo
#define healed w.healed

#if G == 1
#define each(...) k=n; q=o; __VA_ARGS__
#else
#define each(...) k=2*n; q=2*o; __VA_ARGS__; k=2*n+1; q=2*o+1; __VA_ARGS__
#endif
#define when(c,x) if :: c -> x :: else fi

#define up(x,cap) x=min(x+1,cap)
#define down(x) x=((x)>0 -> (x)-1 : 0)
#define may_fault (!healed && w.faults<FAULTS)
#define fault when(FAULTS<255, w.faults++)
#if MODE == SILENCE && APART == 1
#define lossy (LOSS && may_fault && w.lan)
#define cut_allowed w.lan
#define lan_allowed (!(LOSS || CUTS || LATE) || w.calm>=CALM)
#else
#define lossy (LOSS && may_fault)
#define cut_allowed 1
#define lan_allowed 1
#endif

#define probe_is_long (gr[k].st!=ARMED && !(owns(gr[k].st) && gr[k].parm))
#define idle(x) (!owns(gr[x].st) && gr[x].gate==SHUT)
#if G == 1
#define idle_all idle(n)
#else
#define idle_all (idle(2*n) && idle(2*n+1))
#endif
/* The pair works: one node owns, the other one is armed, no order is under way. */
#define quiet (!nd[0].fly && !nd[1].fly && !nd[0].orphan && !nd[1].orphan)
#ifdef COLD
#define warm 1
#elif G == 1
#define warm (quiet && ((owner(0) && gr[1].st==ARMED) || (owner(1) && gr[0].st==ARMED)))
#else
#define warm (quiet && owner(0) && gr[2].st==ARMED && owner(3) && gr[1].st==ARMED)
#endif

/* Where a choice can matter: two rules for one owner; a rule that may be left. */
#define torn(x,y) (gr[x].st==RELEASING || (owns(gr[x].st) && (gr[x].doubt || (nd[o].nf && owns(gr[y].nst)))))
#define slow(x) ((gr[x].st==STANDBY && nd[n].ack<=ACK) || gr[x].st==FAILED || gr[x].st==RELEASING || (MODE==SILENCE && owns(gr[x].st) && nd[n].ack>=ACK))
#if G == 1
#define torn_any torn(n,o)
#define slow_any (slow(n) || nd[n].leaving)
#else
#define torn_any (torn(2*n,2*o) || torn(2*n+1,2*o+1))
#define slow_any (slow(2*n) || slow(2*n+1) || nd[n].leaving)
#endif

/* What the world may get wrong that no rule forbids: mutants of the kernel, the device and the effects. */
#ifndef MUT_NO_MARK
#define MUT_NO_MARK 0   /* the kernel renews and grants for a turn of any age */
#endif
#ifndef MUT_REVIVE
#define MUT_REVIVE 0    /* the kernel renews a lease that has lapsed */
#endif
#ifndef MUT_LIAR
#define MUT_LIAR 0      /* the fence device says off and does nothing */
#endif
#ifndef MUT_SAY_FIRST
#define MUT_SAY_FIRST 0 /* frames leave before the gates close */
#endif
#ifndef MUT_NO_VETO
#define MUT_NO_VETO 0   /* probes hear nobody */
#endif
#ifndef MUT_NO_CLAIM
#define MUT_NO_CLAIM 0  /* no CLAIM is ever sent */
#endif
#ifndef MUT_TOKEN
#define MUT_TOKEN 0     /* the boot token is not spent */
#endif
#ifndef MUT_DEAF_PROBE
#define MUT_DEAF_PROBE 0 /* probes do not hear each other */
#endif

/* Effects of rules. The probe that led to an entry counts till the end of the turn. */
inline become(s,keeps) {
  gr[k].st=s; gr[k].since=0; gr[k].bid=0;
  when(!keeps, gr[k].pr=0; gr[k].pf=0; gr[k].parm=0)
}
inline do_own() { gr[k].gate=WANTED; gr[k].adopted=0; gr[k].doubt=0; gr[k].rel=0; gr[k].out=0; gr[k].fw=0 }
inline do_adopt() { gr[k].gate=OPEN; gr[k].adopted=1 }
inline do_close() {
  if :: gr[k].gate==WANTED -> gr[k].gate=SHUT :: gr[k].gate==ASKED || gr[k].gate==OPEN -> gr[k].gate=CLOSING :: else fi;
  when(gr[k].out && gr[k].st!=FAILED, gr[k].st=MAINTENANCE);
  gr[k].doubt=0; gr[k].adopted=0; gr[k].sure=0; gr[k].out=0; gr[k].fw=0
}
inline do_say_RELEASED() { gr[k].hold=HOLD; gr[k].rel=1; gr[k].snd=RELEASED }
inline do_repeat_RELEASED() { when(gr[k].rel, gr[k].snd=RELEASED) }
inline do_say_GRANT() { gr[k].hold=HOLD; gr[k].rel=0; gr[k].bid=0; gr[k].snd=GRANT }
inline do_say_CLAIM() { when(gr[k].bid==0, gr[k].bid=1); when(!MUT_NO_CLAIM, gr[k].snd=CLAIM) }
inline do_warn_CLAIM() { when(!MUT_NO_CLAIM, gr[k].snd=CLAIM) }
inline do_say_NOTICE() { gr[k].snd=NOTICE }
inline do_say_BEAT() { skip }
inline do_say_GOODBYE() { gr[k].snd=GOODBYE }
inline do_doubt() { gr[k].doubt=1 }
inline do_undoubt() { gr[k].doubt=0 }
inline do_resume() { skip }
inline do_sure() { gr[k].sure=1 }
inline do_out() { gr[k].out=1 }
inline do_stay() { gr[k].out=0 }
inline do_probe() {
  gr[k].pr=1; gr[k].pf=0;
  when(!owns(gr[k].st), gr[k].parm=(gr[k].st==ARMED));
  when(w.lan && owner(q) && !MUT_NO_VETO, gr[k].pf=1);
  when(w.lan && gr[q].pr>0 && !MUT_DEAF_PROBE && !MUT_NO_VETO, gr[k].pf=1; gr[q].pf=1)
}
inline do_fence() {
  gr[k].fw=1; when(w.cuts, w.shots=min(w.shots+1,7));
  when(!nd[n].contact && !nd[n].right, nd[n].token=MUT_TOKEN; nd[n].right=1);
  when(nd[n].fly==0, nd[n].fly=1)
}
inline do_ask_gate() { gr[k].gate=ASKED }
inline do_renew() { gr[k].rn=1 }

#include "rules.pml"

#define one_owner_at_most assert(!(owner(k) && owner(q)))

/* The end of a process. Frames to it are lost; those from it travel on. */
inline die(x) {
  nd[x].proc=GONE; nd[x].hang=0; nd[x].sil=0; nd[x].lis=0; nd[x].hage=0; nd[x].ack=0; nd[x].contact=0; nd[x].leaving=0;
  nd[x].spas=0; nd[x].gone=0; nd[x].right=0; nd[x].fl=0;
  drop_order(x);
  nd[x].fly=0; w.est=0; drop_frame(1-(x));
  forget((x)*G);
#if G == 2
  forget((x)*G+1);
#endif
}
inline drop_order(x) { when(nd[x].fly>0 && nd[x].fly<=TF, nd[x].orphan=1; nd[x].fly=0) }
inline drop_frame(x) {
  nd[x].nf=0; nd[x].held=0; nd[x].nage=0; nd[x].necho=0; nd[x].npas=0; gr[(x)*G].nst=0; gr[(x)*G].nkind=0; gr[(x)*G+G-1].nst=0; gr[(x)*G+G-1].nkind=0
}
inline forget(x) {
  gr[x].st=0; gr[x].gate=SHUT; gr[x].since=0; gr[x].hold=0; gr[x].bid=0; gr[x].doubt=0; gr[x].pr=0; gr[x].pf=0; gr[x].parm=0;
  gr[x].said=0; gr[x].snd=0; gr[x].adopted=0; gr[x].sure=0; gr[x].rel=0; gr[x].rn=0; gr[x].fw=0; gr[x].out=0
}
inline power_off(x) { die(x); nd[x].pw=0; nd[x].mark=0; gr[(x)*G].lease=0; gr[(x)*G+G-1].lease=0 }

/* A process begins: what the kernel holds decides. */
inline start() {
  nd[n].proc=RUNS; nd[n].ack=ACAP; nd[n].hage=ACAP; nd[n].fl=nd[n].told;
  each(gr[k].st=BOOT; on_start(); when(gr[k].gate!=OPEN, gr[k].lease=0))
}

/* A turn up to the gates: the stall, what came, what follows. Its pieces are as
 * long as spin allows one step to be. */
inline think() {
  d_step {
    nd[n].mark=WINDOW+1;
    if
    :: nd[n].hang>=LEASE || w.brief -> stood(); each(on_stall())
    :: else
    fi;
    each(when(gr[k].gate==OPEN && gr[k].lease==0, on_lost()));
    nd[n].hang=0;
  };
  if
  :: nd[o].nf && !w.late && !nd[o].held ->
     d_step { receive() };
     each(d_step { rx_st=gr[q].nst; rx_kind=gr[q].nkind; on_wake(); on_says(); on_offer() });
     d_step { rx_echo=0; rx_st=0; rx_kind=0; drop_frame(o) }
  :: else
  fi;
  if
  :: nd[n].fly==OFF -> d_step { nd[n].fly=0; drop_frame(o); each(on_proof(); gr[k].fw=0) }
  :: nd[n].fly==NOPE -> d_step { nd[n].fly=0; each(gr[k].fw=0) }
  :: else
  fi;
  each(d_step { on_order(); on_claim(); on_probe() }; d_step { on_tick(); on_fence(); on_gate(); on_renew() })
}

/* After a stall a claim and a probe begin anew, and silence is judged later. */
inline stood() { nd[n].lis=LISTEN; when(RESTART, nd[n].sil=0; nd[n].lis=0); each(gr[k].bid=0; gr[k].pr=0; gr[k].pf=0) }

/* A frame is taken: first what its coming proves. */
inline receive() {
  rx_echo=nd[o].necho;
  nd[n].sil=0; nd[n].hage=nd[o].nage; nd[n].ack=min(nd[n].ack,rx_echo); nd[n].spas=nd[o].npas;
  when(rx_echo<=ACK, nd[n].contact=1; nd[n].token=1; when(nd[n].fl, nd[n].fl=0; nd[n].told=0; each(gr[k].since=0)));
  each(
    rx_st=gr[q].nst; rx_kind=gr[q].nkind; gr[k].said=rx_st;
    when(rx_kind==GOODBYE, nd[n].gone=1);
    when(rx_kind==NOTICE, nd[n].told=1);
    when(owns(rx_st) && !owns(gr[k].st) && gr[k].hold>0 && rx_echo<=HOLD-gr[k].hold, gr[k].hold=0; gr[k].rel=0);
    when(gr[k].fw && (gr[k].st==FENCING || (owns(gr[k].st) && rx_echo<=ACK)), gr[k].fw=0; drop_order(n)))
}

/* Gates, then frames. */
inline act() {
  when(MUT_SAY_FIRST, send());
  each(
    if
    :: gr[k].gate==CLOSING -> when(!MUT_SAY_FIRST || w.alt, gr[k].gate=SHUT; gr[k].lease=0)
    :: gr[k].gate==ASKED && (nd[n].mark>0 || MUT_NO_MARK) -> gr[k].gate=OPEN; gr[k].lease=LEASE
    :: gr[k].gate==ASKED && !(nd[n].mark>0 || MUT_NO_MARK) -> gr[k].gate=WANTED
    :: else
    fi;
    one_owner_at_most);
  when(!MUT_SAY_FIRST, send())
}
inline send() {
  when(w.est && !nd[n].cut && !w.lost && !nd[n].held,
    nd[n].nf=1; nd[n].nage=0; nd[n].necho=nd[n].hage; nd[n].npas=(nd[n].fl||nd[n].leaving); each(gr[k].nst=gr[k].st; when(!healed || gr[k].snd!=0, gr[k].nkind=gr[k].snd)));  /* a healed world loses no word */
  when(w.est && w.lost, w.calm=0);
  each(gr[k].snd=0)
}

/* The kernel renews a lease that lives, for a turn that is not too old. */
inline renew() {
  each(
    when(gr[k].rn && gr[k].gate==OPEN && (nd[n].mark>0 || MUT_NO_MARK) && (gr[k].lease>0 || MUT_REVIVE), gr[k].lease=LEASE);
    gr[k].rn=0;
    one_owner_at_most)
}

/* A probe that ended counts in its turn only. An agent that left says so once, and ends. */
inline finish() {
  each(when(gr[k].pr==(probe_is_long -> LONGPROBE : 2) || gr[k].pr>LONGPROBE, gr[k].pr=0; gr[k].pf=0));
  when(nd[n].leaving && idle_all && w.lazy, die(n))
}

/* What befalls node n before its turn, and the choices of the turn itself. */
inline strike() {
  if
  :: true
  :: KILL && may_fault && nd[n].proc>=RUNS -> d_step { die(n); fault }
  :: POWER && may_fault && nd[n].pw -> d_step { power_off(n); fault }
  :: ORDERS && may_fault && nd[n].proc==RUNS && !nd[n].leaving -> d_step { nd[n].leaving=1; fault }
  :: ORDERS && may_fault && nd[n].proc==RUNS -> d_step { w.ord=1; fault }
  :: ORDERS && may_fault && nd[n].proc==RUNS -> d_step { w.ord=2; fault }
  :: ORDERS && may_fault && nd[n].proc==RUNS -> d_step { w.ord=3; fault }
  :: ORDERS && may_fault && nd[n].proc==RUNS -> d_step { w.ord=4; fault }
  :: ORDERS && may_fault && nd[n].proc==RUNS && !nd[o].pw -> d_step { w.ord=5; fault }
  :: LATE && may_fault && cut_allowed && nd[n].nf && !nd[n].held -> d_step { nd[n].held=1; fault }
  :: LATE && nd[n].held -> nd[n].held=0
  :: nd[n].proc==GONE && !nd[n].pw -> nd[n].pw=1
  :: nd[n].proc==GONE && nd[n].pw -> d_step { start() }
  :: nd[n].proc==GONE && nd[n].pw && nd[n].told -> d_step { nd[n].told=0; start() }
  fi;
  if
  :: healed && !nd[n].pw -> nd[n].pw=1
  :: healed && nd[n].pw && nd[n].proc==GONE -> d_step { start() }
  :: else
  fi;
  if
  :: nd[n].proc>=STOPPED -> if :: w.stop=STOPPED :: true fi    /* stays where it is, or goes on */
  :: STALL && may_fault && nd[n].proc==RUNS ->
     if :: true :: w.stop=STOPPED; fault :: w.stop=BEFORE_GATES; fault :: w.stop=BEFORE_RENEW; fault fi
  :: else
  fi;
  when(healed, w.stop=0);
  if :: nd[n].hang>0 && nd[n].hang<LEASE && nd[n].proc<=STOPPED -> w.brief=1 :: true fi;
  if :: lossy && nd[o].nf && nd[n].proc>=RUNS -> w.late=1; fault :: true fi;
  if :: lossy && w.est && nd[n].proc>=RUNS -> w.lost=1; fault :: true fi;
  if :: torn_any && nd[n].proc>=RUNS -> w.alt=1 :: true fi;
  if :: !healed && nd[n].proc>=RUNS && slow_any -> w.lazy=1 :: healed && nd[n].leaving -> w.lazy=1 :: !healed || !nd[n].leaving fi
}

inline turn() {
  o=1-n;
  strike();
  if
  :: nd[n].proc>=RUNS && nd[n].proc<=STOPPED && w.stop!=STOPPED -> think()
  :: else
  fi;
  d_step {
    if
    :: nd[n].proc==GONE
    :: nd[n].proc==RUNS && w.stop==STOPPED -> nd[n].proc=STOPPED
    :: nd[n].proc>RUNS && w.stop==STOPPED
    :: nd[n].proc>=RUNS && nd[n].proc<=STOPPED && w.stop==BEFORE_GATES -> nd[n].proc=BEFORE_GATES
    :: else ->
       when(nd[n].proc<=BEFORE_GATES, act());
       if
       :: nd[n].proc<=BEFORE_GATES && w.stop==BEFORE_RENEW -> nd[n].proc=BEFORE_RENEW
       :: else -> renew(); nd[n].proc=RUNS; finish()
       fi
    fi;
    when(w.late, w.calm=0);
    n=0; o=0; k=0; q=0; w.stop=0; w.brief=0; w.late=0; w.lost=0; w.alt=0; w.lazy=0; w.ord=0
  }
}

/* The fence device carries an order out, or not, or later. */
inline device(x) {
  if
  :: nd[x].fly>0 && nd[x].fly<=TF -> d_step { shoot(1-(x)); nd[x].fly=OFF }
  :: nd[x].fly>0 && nd[x].fly<TF -> nd[x].fly=nd[x].fly+1
  :: nd[x].fly>0 && nd[x].fly<=TF && DEVICE && may_fault -> d_step { nd[x].fly=NOPE; fault }
  :: nd[x].fly==OFF && DEVICE && may_fault -> d_step { nd[x].fly=NOPE; fault } /* no read back */
  :: nd[x].fly==OFF && nd[x].proc>=STOPPED                                      /* the answer waits */
  :: else
  fi;
  if
  :: nd[x].orphan -> d_step { shoot(1-(x)); nd[x].orphan=0 }
  :: nd[x].orphan -> nd[x].orphan=0
  :: nd[x].orphan && !healed
  :: else
  fi
}
inline shoot(x) {
  when(!MUT_LIAR && nd[x].pw, power_off(x));
  when(!nd[0].pw && !nd[1].pw, w.bothoff=1)
}

/* Two processes that hear each other agree on a session. */
inline handshake() {
  if
  :: !w.est && nd[0].proc==RUNS && nd[1].proc==RUNS && !nd[0].cut && !nd[1].cut ->
     if
     :: d_step { w.est=1; drop_frame(0); drop_frame(1); session(0); session(1) }
     :: lossy -> w.calm=0; fault
     fi
  :: else
  fi
}
inline session(x) {
  nd[x].gone=0;
  when(gr[(x)*G].fw || gr[(x)*G+G-1].fw, gr[(x)*G].fw=0; gr[(x)*G+G-1].fw=0; drop_order(x))
}

/* What befalls links and LAN. A healed world stays healed. */
inline weather() {
  if
  :: true
  :: LANCUT && w.lan && may_fault && lan_allowed -> d_step { w.lan=0; fault }
  :: LANCUT && !w.lan -> w.lan=1
  :: CUTS && may_fault && cut_allowed && !nd[0].cut -> d_step { nd[0].cut=1; fault }
  :: CUTS && may_fault && cut_allowed && !nd[1].cut -> d_step { nd[1].cut=1; fault }
  :: CUTS && may_fault && cut_allowed && !nd[0].cut && !nd[1].cut -> d_step { nd[0].cut=1; nd[1].cut=1; fault }
  :: CUTS && nd[0].cut -> nd[0].cut=0
  :: CUTS && nd[1].cut -> nd[1].cut=0
  :: CUTS && nd[0].cut && nd[1].cut -> d_step { nd[0].cut=0; nd[1].cut=0 }
  :: CUT && w.cuts==0 && may_fault && warm -> d_step { nd[0].cut=1; w.cuts=1 }
  :: CUT && w.cuts==0 && may_fault && warm -> d_step { nd[1].cut=1; w.cuts=1 }
  :: CUT && w.cuts==0 && may_fault && warm -> d_step { nd[0].cut=1; nd[1].cut=1; w.cuts=1 }
  :: HEAL && !healed -> d_step { healed=1; w.lan=!NOLAN; w.calm=0; nd[0].cut=0; nd[1].cut=0; nd[0].held=0; nd[1].held=0; w.faults=0; w.cuts=0 }
  fi
}

inline pass_node(x) {
  when(nd[x].proc>=RUNS,
     up(nd[x].sil,SCAP); up(nd[x].hage,ACAP); up(nd[x].ack,ACAP); down(nd[x].lis);
     when(nd[x].proc>=STOPPED, up(nd[x].hang,LEASE)));
  down(nd[x].mark);
  when(nd[x].nf, up(nd[x].nage,ACAP); up(nd[x].necho,ACAP))
}
inline pass_group(x,y) {
  down(gr[x].lease); down(gr[x].hold);
  when(gr[x].st!=0, up(gr[x].since,ACK+1));
  when(gr[x].bid, up(gr[x].bid,DEAD+3));
  when(gr[x].doubt, up(gr[x].doubt,4));
  when(gr[x].hold==0, gr[x].rel=0);
  when(gr[x].pr, up(gr[x].pr,LONGPROBE+1); when(w.lan && owner(y) && !MUT_NO_VETO, gr[x].pf=1))
}
/* What no rule can ask any more is made equal, so that equal states meet. */
inline canon_node(x) {
  when(nd[x].proc<BEFORE_GATES, nd[x].mark=0);
  when(nd[x].proc>=RUNS && !w.est, nd[x].hage=ACAP)       /* a new session echoes nothing of the old one */
}
inline canon_group(x) {
  when(gr[x].st==BOOT || gr[x].st==ARMED || gr[x].st==FENCING || gr[x].st==RELEASING || gr[x].st==MAINTENANCE || (gr[x].st==ACTIVE && !gr[x].adopted), gr[x].since=0);
  when(gr[x].pr==0 && gr[x].gate!=WANTED, gr[x].parm=0)
}
inline pass() {
  pass_node(0); pass_node(1); pass_group(0,G); pass_group(G,0);
#if G == 2
  pass_group(1,3); pass_group(3,1);
#endif
  canon_node(0); canon_node(1); canon_group(0); canon_group(G);
#if G == 2
  canon_group(1); canon_group(3);
#endif
  if :: LANCUT && (LOSS || CUTS || LATE) && !healed && !nd[0].cut && !nd[1].cut && !nd[0].held && !nd[1].held -> up(w.calm,CALM) :: else -> w.calm=0 fi;
  when(healed && w.ticks<BOUND, w.ticks=w.ticks+1);
  when(HEAL && w.ticks==BOUND, assert(owner(0)+owner(G)==1); when(G==2, assert(owner(G-1)+owner(2*G-1)==1)));
#ifdef BOTHOFF
  assert(!w.bothoff);
#else
  w.bothoff=0;
#endif
#ifdef SHOTS
  assert(w.shots<=SHOTS)
#else
  w.shots=0
#endif
}

active proctype world() {
  d_step { nd[0].pw=1; nd[1].pw=1; w.lan=!NOLAN; nd[0].token=1; nd[1].token=1 }
  do
  :: atomic { w.phase<2 -> if :: w.phase==0 -> if :: n=0 :: n=1 fi; w.first=n :: else -> n=1-w.first; w.first=0 fi; turn(); w.phase=w.phase+1 }
  :: atomic { w.phase==2 -> device(0); device(1); handshake(); weather(); d_step { pass(); w.phase=0 } }
  od
}
