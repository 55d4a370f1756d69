; The laws of the join, for any number of counters, lanes and replicas.
;
; A state is a map from (lane, counter) to a record, and a record is the version at which it last
; changed and its sum. The join takes, for each (lane, counter), the record of the higher version.
; The laws of a join semilattice (idempotent, commutative, associative) are what makes the order
; and the number of arrivals irrelevant: this is `convergence`.
;
; Commutativity needs an assumption, and it is stated: two records of one (lane, counter) with
; equal versions are equal. The owner alone writes its lane, and each version once; that this
; holds for lanes is `interval_atomicity.smt2`, and that it fails for forked lanes, which must
; therefore be detected, is `incarnation.smt2`. A control shows that the assumption is needed.
;
; Left out: finiteness of the maps. Laws of each entry are laws of the map, however large.

(declare-datatypes ((Record 0)) (((record (version Int) (sum Int)))))

(define-fun join ((a Record) (b Record)) Record
  (ite (>= (version a) (version b)) a b))

; The order of the semilattice: b knows at least as much as a.
(define-fun below ((a Record) (b Record)) Bool (= (join a b) b))

; A record is one that the lane's owner wrote: at each version it had one sum, which only grows.
(declare-fun written (Int) Int)
(define-fun genuine ((a Record)) Bool
  (and (>= (version a) 0) (= (sum a) (written (version a)))))

(declare-const a Record)
(declare-const b Record)
(declare-const c Record)

(push)
; Joining a record with itself changes nothing: duplicated messages are harmless.
(assert (not (= (join a a) a)))
(echo "obligation: join_laws/idempotent expect unsat")
(check-sat)
(pop)

(push)
; The order of two messages is irrelevant.
(assert (and (genuine a) (genuine b)))
(assert (not (= (join a b) (join b a))))
(echo "obligation: join_laws/commutative expect unsat")
(check-sat)
(pop)

(push)
; So is their grouping: a relay may join what it passes on.
(assert (not (= (join (join a b) c) (join a (join b c)))))
(echo "obligation: join_laws/associative expect unsat")
(check-sat)
(pop)

(push)
; The join is an upper bound of both: nothing that was known is forgotten.
(assert (and (genuine a) (genuine b)))
(assert (not (and (below a (join a b)) (below b (join a b)))))
(echo "obligation: join_laws/upper_bound expect unsat")
(check-sat)
(pop)

(push)
; It is the least one: nothing is made up.
(assert (and (genuine a) (genuine b) (genuine c) (below a c) (below b c)))
(assert (not (below (join a b) c)))
(echo "obligation: join_laws/least_upper_bound expect unsat")
(check-sat)
(pop)

(push)
; The join of records that the owner wrote is one that the owner wrote.
(assert (and (genuine a) (genuine b)))
(assert (not (genuine (join a b))))
(echo "obligation: join_laws/join_of_genuine_records_is_genuine expect unsat")
(check-sat)
(pop)

; Delta decomposition. A whole lane is a map from counters to records; `held` is the lane up to
; version v, and the interval after v holds the records of versions above v.
(declare-sort Counter 0)
(declare-fun lane (Counter) Record)
(declare-fun old (Counter) Record)
(declare-const v Int)

(push)
; Joining the interval after v to the lane as it was at v gives the lane, although the interval
; leaves out everything that did not change: deltas lose nothing against sending the whole state.
(assert (forall ((k Counter)) (<= (version (old k)) v)))
(assert (forall ((k Counter)) (=> (<= (version (lane k)) v) (= (lane k) (old k)))))
(define-fun interval ((k Counter)) Record
  (ite (> (version (lane k)) v) (lane k) (record 0 0)))
(define-fun absent ((k Counter)) Bool (<= (version (lane k)) v))
(assert (exists ((k Counter))
  (not (= (lane k) (ite (absent k) (old k) (join (interval k) (old k)))))))
(echo "obligation: join_laws/delta_decomposition expect unsat")
(check-sat)
(pop)

(push)
; Without the owner's discipline (one sum a version) the join does not commute, so two replicas
; that saw the same two records differ for ever.
(assert (and (>= (version a) 0) (>= (version b) 0)))
(assert (not (= (join a b) (join b a))))
(echo "control: join_laws/commutative_for_a_forked_lane expect sat")
(check-sat)
(pop)

(push)
; Adding instead of replacing is no join: a message that arrives twice counts twice.
(define-fun additive ((x Record) (y Record)) Record
  (record (ite (>= (version x) (version y)) (version x) (version y)) (+ (sum x) (sum y))))
(assert (and (genuine a) (> (sum a) 0)))
(assert (not (= (additive a a) a)))
(echo "control: join_laws/additive_merge_is_idempotent expect sat")
(check-sat)
(pop)

(push)
; The assumptions admit records that differ.
(assert (and (genuine a) (genuine b) (< (version a) (version b)) (< 0 (sum a) (sum b))))
(echo "vacuity: join_laws/two_genuine_records_differ expect sat")
(check-sat)
(pop)
