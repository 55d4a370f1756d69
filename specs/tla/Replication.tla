---------------------------- MODULE Replication ----------------------------
(***************************************************************************)
(* How one shard of Tally counts on several replicas and stays exact.      *)
(*                                                                         *)
(* Every replica writes only to its own lane.  An add changes the volatile *)
(* head of the own lane; a commit makes the head durable and gives the     *)
(* lane its next version; only what is durable is acknowledged, read or    *)
(* sent.  An interval (lane, after v) holds every record of the lane that  *)
(* changed after v; it is applied whole, or not at all; and any replica    *)
(* that holds a lane may serve it.  The network is the set of all that was *)
(* ever sent, deliverable to anybody at any time: loss, duplication,       *)
(* reordering and partition at once.                                       *)
(*                                                                         *)
(* Why this file exists: it is the protocol on a page, for readers and for *)
(* two independent checkers.  The Stateright world over the real           *)
(* `crdt_core::Replica` must reach exactly as many states at the same      *)
(* bounds; the section "Correspondence" below says how to line them up.    *)
(*                                                                         *)
(* What it leaves out: lost disks and forked lanes (smt/incarnation.smt2), *)
(* sessions (smt/sessions.smt2), subtraction (a second sum that behaves    *)
(* like the first), names, bytes and time.                                 *)
(*                                                                         *)
(* CORRESPONDENCE                                                          *)
(*                                                                         *)
(* State, variable by variable (ghost = in no replica, only for stating    *)
(* the guarantees):                                                        *)
(*                                                                         *)
(*   budget      adds that may still be made, all replicas together        *)
(*   crashes     crashes that may still happen, all replicas together      *)
(*   head[r]     volatile: per counter, what r added since its last commit *)
(*   starts[r]   which start of r's process is running, from 1; stands for *)
(*               the random id in a Mark                                   *)
(*   held[r][l]  durable: lane l as r holds it (held[r][r] is r's own),    *)
(*               a version and per counter a record: the version at which  *)
(*               it last changed and its sum                               *)
(*   sent        the network: every interval ever sent, whoever sent it    *)
(*   made[r]     ghost: per counter, all that r was ever asked to add      *)
(*   history[r]  ghost: per version of r's lane, the start that wrote it   *)
(*               and the whole lane; what r's clients were acknowledged    *)
(*               is the last entry                                         *)
(*                                                                         *)
(* Actions, one step each (an action is disabled where it would change     *)
(* nothing, so the number of states does not depend on no-ops):            *)
(*                                                                         *)
(*   Add(r, c, n)        replica.add: the head grows, the budget falls     *)
(*   Commit(r)           replica.commit, the driver's write and sync,      *)
(*                       replica.synced, in one step; the head is not empty*)
(*   Send(s, l, after)   s.interval(l, after), for any after below the     *)
(*                       version s holds, joins `sent`                     *)
(*   Deliver(r, m)       r.receive(m) and its commit and sync, for m of    *)
(*                       another's lane with m.after <= version < m.to     *)
(*   Crash(r)            the head is lost, the process starts again        *)
(*                                                                         *)
(* That Commit and Deliver are one step each loses nothing: a crash between*)
(* write and sync leaves the disk with the group or without it, which is a *)
(* crash after or before the step here.  Whether Deliver commits the head  *)
(* along with the interval or leaves it alone makes no difference to the   *)
(* set of reachable states either: the adds in a head are seen by nobody,  *)
(* so they may as well be made after the delivery.                         *)
(***************************************************************************)
EXTENDS Naturals, Sequences, FiniteSets

CONSTANTS
    Replicas,   \* the replicas; each one's lane has its name
    Counters,   \* the counters of this shard
    Amounts,    \* an add adds one of these; two different ones hide less
    Adds,       \* bound: how many adds are made
    Crashes,    \* bound: how many crashes happen
    Mutant      \* "none", or the rule of the protocol that is broken

ASSUME Mutant \in {"none", "sent_before_durable", "additive_merge",
                   "piecemeal", "relay_omits_records", "gap_ignored"}

VARIABLES budget, crashes, head, starts, held, sent, made, history

vars == <<budget, crashes, head, starts, held, sent, made, history>>

-----------------------------------------------------------------------------
(* Lanes and intervals.                                                    *)

Zero == [c \in Counters |-> 0]

EmptyLane == [version |-> 0,
              records |-> [c \in Counters |-> [changed |-> 0, total |-> 0]]]

\* The lane's next version: the records of the counters in `delta` change.
Advanced(lane, delta) ==
    LET next == lane.version + 1
    IN  [version |-> next,
         records |-> [c \in Counters |->
             IF delta[c] = 0
             THEN lane.records[c]
             ELSE [changed |-> next, total |-> lane.records[c].total + delta[c]]]]

\* All that changed in a lane after a version.
Interval(name, lane, after) ==
    LET changed == {c \in Counters : lane.records[c].changed > after}
    IN  [lane |-> name, after |-> after, to |-> lane.version,
         records |-> [c \in changed |-> lane.records[c]]]

\* What a broken relay serves: only the records of the newest version.
OmittingInterval(name, lane, after) ==
    LET newest == {c \in Counters : lane.records[c].changed = lane.version}
    IN  [lane |-> name, after |-> after, to |-> lane.version,
         records |-> [c \in newest |-> lane.records[c]]]

\* An interval applies to a lane that is held at least up to its beginning and not to its end.
Applies(lane, m) ==
    /\ m.to > lane.version
    /\ m.after <= lane.version \/ Mutant = "gap_ignored"

\* The lane after an interval: its records replace the held ones, all at once.
Applied(lane, m) ==
    [version |-> m.to,
     records |-> [c \in Counters |->
         IF c \in DOMAIN m.records
         THEN IF Mutant = "additive_merge"
              THEN [changed |-> m.records[c].changed,
                    total |-> lane.records[c].total + m.records[c].total]
              ELSE m.records[c]
         ELSE lane.records[c]]]

\* The first `records` of an interval without the rest, as if they were all of it.
Part(m, c) == [m EXCEPT !.records = [d \in {c} |-> m.records[d]]]

-----------------------------------------------------------------------------
(* Actions.                                                                *)

Init ==
    /\ budget = Adds
    /\ crashes = Crashes
    /\ head = [r \in Replicas |-> Zero]
    /\ starts = [r \in Replicas |-> 1]
    /\ held = [r \in Replicas |-> [l \in Replicas |-> EmptyLane]]
    /\ sent = {}
    /\ made = [r \in Replicas |-> Zero]
    /\ history = [r \in Replicas |-> <<>>]

Add(r, c, n) ==
    /\ budget > 0
    /\ budget' = budget - 1
    /\ head' = [head EXCEPT ![r][c] = @ + n]
    /\ made' = [made EXCEPT ![r][c] = @ + n]
    /\ UNCHANGED <<crashes, starts, held, sent, history>>

Commit(r) ==
    /\ head[r] # Zero
    /\ LET lane == Advanced(held[r][r], head[r])
       IN  /\ held' = [held EXCEPT ![r][r] = lane]
           /\ history' = [history EXCEPT ![r] = Append(@,
                  [start |-> starts[r], lane |-> lane])]
    /\ head' = [head EXCEPT ![r] = Zero]
    /\ UNCHANGED <<budget, crashes, starts, sent, made>>

Send(s, l, after) ==
    /\ after < held[s][l].version
    /\ LET m == IF Mutant = "relay_omits_records" /\ s # l
                THEN OmittingInterval(l, held[s][l], after)
                ELSE Interval(l, held[s][l], after)
       IN  /\ m \notin sent
           /\ sent' = sent \union {m}
    /\ UNCHANGED <<budget, crashes, head, starts, held, made, history>>

\* The mutant's step: the owner sends the version that it is about to commit.
SendHead(s) ==
    /\ Mutant = "sent_before_durable"
    /\ head[s] # Zero
    /\ LET m == Interval(s, Advanced(held[s][s], head[s]), held[s][s].version)
       IN  /\ m \notin sent
           /\ sent' = sent \union {m}
    /\ UNCHANGED <<budget, crashes, head, starts, held, made, history>>

Deliver(r, m) ==
    /\ m.lane # r
    /\ Applies(held[r][m.lane], m)
    /\ IF Mutant = "piecemeal"
       THEN \E c \in DOMAIN m.records :
                held' = [held EXCEPT ![r][m.lane] = Applied(@, Part(m, c))]
       ELSE held' = [held EXCEPT ![r][m.lane] = Applied(@, m)]
    /\ UNCHANGED <<budget, crashes, head, starts, sent, made, history>>

Crash(r) ==
    /\ crashes > 0
    /\ crashes' = crashes - 1
    /\ head' = [head EXCEPT ![r] = Zero]
    /\ starts' = [starts EXCEPT ![r] = @ + 1]
    /\ UNCHANGED <<budget, held, sent, made, history>>

Next ==
    \/ \E r \in Replicas, c \in Counters, n \in Amounts : Add(r, c, n)
    \/ \E r \in Replicas : Commit(r)
    \/ \E s \in Replicas, l \in Replicas : \E after \in 0..Adds : Send(s, l, after)
    \/ \E s \in Replicas : SendHead(s)
    \/ \E r \in Replicas : \E m \in sent : Deliver(r, m)
    \/ \E r \in Replicas : Crash(r)

Spec == Init /\ [][Next]_vars

-----------------------------------------------------------------------------
(* Guarantees.                                                             *)

RECURSIVE SumOver(_, _)
SumOver(f, S) == IF S = {} THEN 0
                 ELSE LET x == CHOOSE x \in S : TRUE IN f[x] + SumOver(f, S \ {x})

\* A counter's value, given a replica's lanes.
Value(lanes, c) == SumOver([l \in Replicas |-> lanes[l].records[c].total], Replicas)

\* The lane exactly as its owner had it at a version.
LaneAt(l, v) == IF v = 0 THEN EmptyLane ELSE history[l][v].lane

\* What was acknowledged of a lane: all that was ever durable in it.
Acknowledged(l, c) == LaneAt(l, Len(history[l])).records[c].total

\* A lane of a replica after anti-entropy has run to its end: taken from whoever holds most of it,
\* by the same Interval and Applied as everybody else.
Best(l) == CHOOSE s \in Replicas : \A q \in Replicas : held[q][l].version <= held[s][l].version

Healed(r, l) ==
    LET lane == held[r][l]
        m == Interval(l, held[Best(l)][l], lane.version)
    IN  IF l # r /\ Applies(lane, m) THEN Applied(lane, m) ELSE lane

\* durability: what a client was told is on the owner's disk.
Durability == \A r \in Replicas : held[r][r] = LaneAt(r, Len(history[r]))

\* no_phantom: no value holds an add that nobody made.
NoPhantom ==
    \A r \in Replicas, c \in Counters :
        Value(held[r], c) <= SumOver([l \in Replicas |-> made[l][c]], Replicas)

\* What travels is what its owner has on disk.
NothingSentBeforeDurable ==
    \A m \in sent :
        /\ m.to <= Len(history[m.lane])
        /\ m = Interval(m.lane, LaneAt(m.lane, m.to), m.after)

\* Knowledge of a lane is that lane as it was at one version, never a mixture of two.
PrefixKnowledge ==
    \A r \in Replicas, l \in Replicas :
        /\ held[r][l].version <= Len(history[l])
        /\ held[r][l] = LaneAt(l, held[r][l].version)

\* convergence: equal digests, equal values.
Convergence ==
    \A r \in Replicas, q \in Replicas :
        (\A l \in Replicas : held[r][l].version = held[q][l].version)
            => \A c \in Counters : Value(held[r], c) = Value(held[q], c)

\* conservation: once healed, every replica holds what was acknowledged, lane by lane; so its value
\* is the sum of what was acknowledged.
HealedExact ==
    \A r \in Replicas, l \in Replicas : Healed(r, l) = LaneAt(l, Len(history[l]))

-----------------------------------------------------------------------------
(* Vacuity: each of these holds in some state, so that the worlds are      *)
(* known to reach what the guarantees speak about.  (With TLC: check the   *)
(* negation as an invariant, and see it violated.)                         *)

\* Everything was made, committed and has reached everybody, from more lanes than one.
AllDelivered ==
    /\ budget = 0
    /\ head = [r \in Replicas |-> Zero]
    /\ \A r \in Replicas, q \in Replicas : held[r] = held[q]
    /\ Cardinality({l \in Replicas : history[l] # <<>>}) > 1

\* A replica holds more of another's lane than some third one: there is something to relay.
ARelayIsUseful ==
    \E s \in Replicas, r \in Replicas, l \in Replicas :
        s # l /\ r # l /\ held[r][l].version < held[s][l].version

\* A crash has taken adds that were never acknowledged.
AHeadWasLost == \E r \in Replicas, c \in Counters : made[r][c] > head[r][c] + Acknowledged(r, c)
=============================================================================
