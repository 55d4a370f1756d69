-------------------------------- MODULE Lock --------------------------------
(***************************************************************************)
(* What Tally replaces: servers that add 1 to one shared number by reading *)
(* it and writing it back, without a lock, with a lock, with a lease, and  *)
(* with a lease whose fencing token the number's register checks.          *)
(*                                                                         *)
(* Every server makes one increment.  Between any two of its steps any     *)
(* other server may run, a server may crash, the lock server may crash and *)
(* a lease may expire while its holder goes on as if it still had it.      *)
(*                                                                         *)
(* Why this file exists: the claim "a lock is exact, and stops with its    *)
(* holder; a lease does not stop, and is exact only if the token is raised *)
(* on reading and checked on writing" is small enough to be checked in     *)
(* full, and stands beside `lock-core`, which is model-checked too.        *)
(*                                                                         *)
(* What it leaves out: messages (a step at the register is one step here), *)
(* time (a lease may expire at any moment) and servers that add twice.     *)
(***************************************************************************)
EXTENDS Naturals, FiniteSets

CONSTANTS
    Servers,            \* who increments, once each
    Strategy,           \* how; see below
    Crashes,            \* bound: servers that crash
    LockServerCrashes   \* bound: 0 or 1

\* naive          read, write
\* lock           acquire, read, write, release
\* lease          the same, and the lock server may take the lock back at any time
\* fenced_write   and the register refuses writes with a token lower than the last writer's
\* fenced         and the register refuses writes with a token lower than the last reader's
Leases == {"lease", "fenced_write", "fenced"}

ASSUME Strategy \in {"naive", "lock"} \union Leases

VARIABLES
    value,      \* the register: the shared number
    fence,      \* the register: the highest token it has seen
    holder,     \* the lock server: who has the lock; {} or one server
    issued,     \* the lock server: the last token it gave
    lockUp,     \* the lock server: whether it runs
    pc,         \* per server: what it has done last
    seen,       \* per server: the number it read
    token,      \* per server: the token it was given
    crashed     \* the servers that have crashed

vars == <<value, fence, holder, issued, lockUp, pc, seen, token, crashed>>

Init ==
    /\ value = 0
    /\ fence = 0
    /\ holder = {}
    /\ issued = 0
    /\ lockUp = TRUE
    /\ pc = [s \in Servers |-> "idle"]
    /\ seen = [s \in Servers |-> 0]
    /\ token = [s \in Servers |-> 0]
    /\ crashed = {}

Max(a, b) == IF a > b THEN a ELSE b

Alive(s) == s \notin crashed
Finished(s) == pc[s] \in {"released", "refused"}

Acquire(s) ==
    /\ Strategy # "naive"
    /\ Alive(s) /\ lockUp
    /\ pc[s] = "idle" /\ holder = {}
    /\ holder' = {s}
    /\ issued' = issued + 1
    /\ token' = [token EXCEPT ![s] = issued + 1]
    /\ pc' = [pc EXCEPT ![s] = "holding"]
    /\ UNCHANGED <<value, fence, lockUp, seen, crashed>>

Read(s) ==
    /\ Alive(s)
    /\ pc[s] = IF Strategy = "naive" THEN "idle" ELSE "holding"
    /\ IF Strategy = "fenced" /\ token[s] < fence
       THEN /\ pc' = [pc EXCEPT ![s] = "refused"]
            /\ UNCHANGED <<seen, fence>>
       ELSE /\ pc' = [pc EXCEPT ![s] = "read"]
            /\ seen' = [seen EXCEPT ![s] = value]
            /\ fence' = IF Strategy = "fenced" THEN Max(fence, token[s]) ELSE fence
    /\ UNCHANGED <<value, holder, issued, lockUp, token, crashed>>

\* The write's success is its acknowledgement.
Write(s) ==
    /\ Alive(s)
    /\ pc[s] = "read"
    /\ IF Strategy \in {"fenced_write", "fenced"} /\ token[s] < fence
       THEN /\ pc' = [pc EXCEPT ![s] = "refused"]
            /\ UNCHANGED <<value, fence>>
       ELSE /\ pc' = [pc EXCEPT ![s] = IF Strategy = "naive" THEN "released" ELSE "written"]
            /\ value' = seen[s] + 1
            /\ fence' = IF Strategy = "fenced_write" THEN Max(fence, token[s]) ELSE fence
    /\ UNCHANGED <<holder, issued, lockUp, seen, token, crashed>>

Release(s) ==
    /\ Alive(s) /\ lockUp
    /\ pc[s] = "written"
    /\ pc' = [pc EXCEPT ![s] = "released"]
    /\ holder' = holder \ {s}
    /\ UNCHANGED <<value, fence, issued, lockUp, seen, token, crashed>>

\* The lock server takes the lock back; the holder does not notice.
Expire ==
    /\ Strategy \in Leases
    /\ lockUp
    /\ holder # {}
    /\ holder' = {}
    /\ UNCHANGED <<value, fence, issued, lockUp, pc, seen, token, crashed>>

Crash(s) ==
    /\ Cardinality(crashed) < Crashes
    /\ Alive(s) /\ ~ Finished(s)
    /\ crashed' = crashed \union {s}
    /\ UNCHANGED <<value, fence, holder, issued, lockUp, pc, seen, token>>

LockServerCrash ==
    /\ LockServerCrashes > 0
    /\ lockUp
    /\ lockUp' = FALSE
    /\ UNCHANGED <<value, fence, holder, issued, pc, seen, token, crashed>>

Next ==
    \/ \E s \in Servers :
        Acquire(s) \/ Read(s) \/ Write(s) \/ Release(s) \/ Crash(s)
    \/ Expire
    \/ LockServerCrash

Spec == Init /\ [][Next]_vars

-----------------------------------------------------------------------------
Acknowledged == {s \in Servers : pc[s] \in {"written", "released"}}

\* conservation: the number counts each acknowledged write.
Exact == value = Cardinality(Acknowledged)

\* Whether a server that lives has a step of its own, now or once the lease has expired.
CanStep(s) ==
    \/ pc[s] = "idle" /\ Strategy = "naive"
    \/ pc[s] = "idle" /\ lockUp /\ (holder = {} \/ Strategy \in Leases)
    \/ pc[s] \in {"holding", "read"}
    \/ pc[s] = "written" /\ lockUp

\* availability, of the kind a lock could give: as long as a living server wants something, a
\* living server can do something.
LivingAreNeverStuck ==
    LET wanting == {s \in Servers : Alive(s) /\ ~ Finished(s)}
    IN  wanting # {} => \E s \in wanting : CanStep(s)

\* Vacuity: every server has been acknowledged.
AllAcknowledged == Acknowledged = Servers
=============================================================================
