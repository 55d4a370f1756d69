; The counter, for any number of replicas, adds, crashes and messages.
;
; One invariant is true at the beginning, and every step that any replica can take preserves it:
;
;   a replica's own lane holds exactly what it acknowledged; nobody else holds more of that lane,
;   no message ever sent says more, and no more was acknowledged than was made.
;
; From it follow `no_phantom`, `durability`, `conservation` and `monotonic_reads` of one lane. They
; hold of a value, which is the sum over all lanes, by `sum_lemmas.smt2`.
;
; How the state is abstracted. One counter is enough, since the records of different counters never
; meet; that they travel together is `interval_atomicity.smt2`. Only adds are counted: decrements
; are a second sum that behaves alike. A record is its sum: the owner's sums grow with the lane's
; versions, so "the newer record" and "the larger sum" are the same choice. An interval is a set of
; records, delivered here one by one and in any order, which allows more than the code does. Nothing
; ever leaves the set of sent messages, and any of them may be delivered at any time to anybody:
; loss, delay, duplication, reordering and partition at once. A replica that died, or whose disk was
; lost, is one that takes no more steps; its successor is another replica that has taken none.

(declare-sort Replica 0)
(declare-datatypes ((Message 0)) (((message (lane Replica) (sum Int)))))
(define-sort PerReplica () (Array Replica Int))

(declare-datatypes ((State 0)) (((state
  (held (Array Replica PerReplica))  ; durable: what the first holds of the second's lane
  (head PerReplica)                  ; volatile: the own lane with everything taken
  (sent (Array Message Bool))        ; the network: all that was ever sent
  (acknowledged PerReplica)          ; ghost: what clients were told is counted
  (made PerReplica)))))              ; ghost: all that clients ever asked for

(define-fun held_by ((s State) (q Replica) (l Replica)) Int (select (select (held s) q) l))

(define-fun invariant ((s State)) Bool
  (and
    (forall ((r Replica))
      (and (= (held_by s r r) (select (acknowledged s) r))
           (<= (select (acknowledged s) r) (select (head s) r))
           (<= (select (head s) r) (select (made s) r))))
    (forall ((q Replica) (l Replica))
      (<= 0 (held_by s q l) (held_by s l l)))
    (forall ((m Message))
      (=> (select (sent s) m) (<= 0 (sum m) (select (acknowledged s) (lane m)))))))

; The steps.

(define-fun initial ((s State)) Bool
  (and (forall ((q Replica) (l Replica)) (= (held_by s q l) 0))
       (forall ((r Replica)) (= (select (head s) r) (select (acknowledged s) r)
                                (select (made s) r) 0))
       (forall ((m Message)) (not (select (sent s) m)))))

; replica.add: taken into memory.
(define-fun add ((s State) (r Replica) (n Int)) State
  (state (held s)
         (store (head s) r (+ (select (head s) r) n))
         (sent s)
         (acknowledged s)
         (store (made s) r (+ (select (made s) r) n))))

; Sets what q holds of a lane.
(define-fun holding ((s State) (q Replica) (l Replica) (n Int)) (Array Replica PerReplica)
  (store (held s) q (store (select (held s) q) l n)))

; replica.commit, the sync, replica.synced: durable, and acknowledged only now.
(define-fun commit ((s State) (r Replica)) State
  (state (holding s r r (select (head s) r))
         (head s)
         (sent s)
         (store (acknowledged s) r (select (head s) r))
         (made s)))

; replica.interval: q sends its record of any lane. Where q is not l, this is a relay.
(define-fun send ((s State) (q Replica) (l Replica)) State
  (state (held s)
         (head s)
         (store (sent s) (message l (held_by s q l)) true)
         (acknowledged s)
         (made s)))

(define-fun larger ((a Int) (b Int)) Int (ite (>= a b) a b))

; replica.receive and its commit. Of its own lane a replica has nothing to learn.
(define-fun deliver ((s State) (q Replica) (m Message)) State
  (state (holding s q (lane m) (larger (held_by s q (lane m)) (sum m)))
         (head s)
         (sent s)
         (acknowledged s)
         (made s)))

; The process ends and starts again: memory is what the disk says.
(define-fun crash ((s State) (r Replica)) State
  (state (held s)
         (store (head s) r (held_by s r r))
         (sent s)
         (acknowledged s)
         (made s)))

(declare-const s State)
(declare-const r Replica)
(declare-const q Replica)
(declare-const l Replica)
(declare-const m Message)
(declare-const n Int)

; 1. The invariant holds at the beginning and is preserved by every step.

(push)
(assert (initial s))
(assert (not (invariant s)))
(echo "obligation: counter_invariant/initially expect unsat")
(check-sat)
(pop)

(push)
(assert (and (invariant s) (> n 0)))
(assert (not (invariant (add s r n))))
(echo "obligation: counter_invariant/add expect unsat")
(check-sat)
(pop)

(push)
(assert (invariant s))
(assert (not (invariant (commit s r))))
(echo "obligation: counter_invariant/commit_and_sync expect unsat")
(check-sat)
(pop)

(push)
(assert (invariant s))
(assert (not (invariant (send s r r))))
(echo "obligation: counter_invariant/send_own_lane expect unsat")
(check-sat)
(pop)

(push)
(assert (and (invariant s) (distinct q l)))
(assert (not (invariant (send s q l))))
(echo "obligation: counter_invariant/relay expect unsat")
(check-sat)
(pop)

(push)
(assert (and (invariant s) (select (sent s) m) (distinct q (lane m))))
(assert (not (invariant (deliver s q m))))
(echo "obligation: counter_invariant/deliver expect unsat")
(check-sat)
(pop)

(push)
; Even a record of the own lane that comes back changes nothing.
(assert (and (invariant s) (select (sent s) m)))
(assert (not (= (held_by (deliver s (lane m) m) (lane m) (lane m)) (held_by s (lane m) (lane m)))))
(echo "obligation: counter_invariant/own_lane_comes_back expect unsat")
(check-sat)
(pop)

(push)
(assert (invariant s))
(assert (not (invariant (crash s r))))
(echo "obligation: counter_invariant/crash_and_restart expect unsat")
(check-sat)
(pop)

; 2. What follows from it.

(push)
; no_phantom: of no lane does anybody hold more than was made there.
(assert (invariant s))
(assert (not (<= 0 (held_by s q l) (select (made s) l))))
(echo "obligation: counter_invariant/no_phantom expect unsat")
(check-sat)
(pop)

(push)
; durability: after power loss of every process at once, each own lane is what it acknowledged.
(assert (invariant s))
(declare-const after State)
(assert (and (= (held after) (held s)) (= (acknowledged after) (acknowledged s))))
(assert (forall ((x Replica)) (= (select (head after) x) (held_by s x x))))
(assert (not (= (held_by after r r) (select (head after) r) (select (acknowledged s) r))))
(echo "obligation: counter_invariant/durability expect unsat")
(check-sat)
(pop)

(push)
; conservation: at rest, when every replica holds what the owner does, it holds what the owner
; acknowledged.
(assert (invariant s))
(assert (forall ((x Replica) (y Replica)) (= (held_by s x y) (held_by s y y))))
(assert (not (= (held_by s q l) (select (acknowledged s) l))))
(echo "obligation: counter_invariant/conservation_at_rest expect unsat")
(check-sat)
(pop)

(push)
; And rest can be reached: the owner's next message brings any replica there.
(assert (invariant s))
(assert (not (= (held_by (deliver s q (message l (held_by s l l))) q l)
                (select (acknowledged s) l))))
(echo "obligation: counter_invariant/one_delivery_heals_a_lane expect unsat")
(check-sat)
(pop)

(push)
; monotonic_reads: no step lowers what a replica holds of a lane.
(assert (and (invariant s) (select (sent s) m)))
(assert (not (and (<= (held_by s q l) (held_by (deliver s r m) q l))
                  (<= (held_by s q l) (held_by (commit s r) q l))
                  (<= (held_by s q l) (held_by (crash s r) q l)))))
(echo "obligation: counter_invariant/monotonic_reads expect unsat")
(check-sat)
(pop)

; 3. Each rule is needed: with one of them broken, the solver finds a state.

(push)
; Sending what is only in memory: a crash takes it back, and others have seen it.
(assert (invariant s))
(assert (not (invariant (state (held s) (head s)
  (store (sent s) (message r (select (head s) r)) true) (acknowledged s) (made s)))))
(echo "control: counter_invariant/sent_before_durable expect sat")
(check-sat)
(pop)

(push)
; Acknowledging what is only in memory.
(assert (invariant s))
(assert (not (invariant (state (held s) (head s) (sent s)
  (store (acknowledged s) r (select (head s) r)) (made s)))))
(echo "control: counter_invariant/acknowledged_before_durable expect sat")
(check-sat)
(pop)

(push)
; Adding what arrives to what is held.
(assert (and (invariant s) (select (sent s) m) (distinct q (lane m))))
(assert (not (invariant (state
  (holding s q (lane m) (+ (held_by s q (lane m)) (sum m)))
  (head s) (sent s) (acknowledged s) (made s)))))
(echo "control: counter_invariant/additive_merge expect sat")
(check-sat)
(pop)

(push)
; A lost disk whose replica goes on under its old id. (scylladb#2169, riak_kv#679)
(assert (invariant s))
(assert (not (invariant (state (holding s r r 0)
  (store (head s) r 0) (sent s) (store (acknowledged s) r 0) (made s)))))
(echo "control: counter_invariant/id_reused_after_a_lost_disk expect sat")
(check-sat)
(pop)

(push)
; A restart that reads its own lane back from some peer.
(assert (and (invariant s) (distinct q r)))
(assert (not (invariant (state (holding s r r (held_by s q r))
  (store (head s) r (held_by s q r)) (sent s) (acknowledged s) (made s)))))
(echo "control: counter_invariant/own_lane_restored_from_a_peer expect sat")
(check-sat)
(pop)

; 4. The invariant admits the states that matter.

(push)
; Two lanes in use, one replica behind, a message on its way, adds in memory, adds lost.
(define-fun nothing () PerReplica ((as const PerReplica) 0))
(assert (distinct r q))
(assert (= s (state
  (store (store ((as const (Array Replica PerReplica)) nothing)
    r (store nothing r 2))
    q (store (store nothing r 1) q 3))
  (store (store nothing r 5) q 3)
  (store ((as const (Array Message Bool)) false) (message r 2) true)
  (store (store nothing r 2) q 3)
  (store (store nothing r 7) q 3))))
(assert (invariant s))
(echo "vacuity: counter_invariant/a_busy_state expect sat")
(check-sat)
(pop)

(push)
(assert (initial s))
(echo "vacuity: counter_invariant/an_initial_state expect sat")
(check-sat)
(pop)
