; What a replica knows of a lane is exactly that lane as it was at one version.
;
; A lane is a history: at each version, every counter has a record, which is the version at which it
; last changed and its sum. Version v + 1 is made by one commit: the dirty counters change, all
; others stay. The interval (after a, to t) holds the records, as of version t, of the counters that
; changed after a. This file proves, for any number of counters, versions and replicas, that an
; interval applied whole takes a replica from "the lane at version h" to "the lane at version t",
; whenever a <= h <= t; so equal digests mean equal values (`convergence`), and any holder of the
; lane may serve it, since it holds what the owner held. Applied in pieces, or with records left out,
; it does not: the controls.
;
; Left out: forks, where two histories have one name (`incarnation.smt2`).

(declare-sort Counter 0)
(declare-datatypes ((Record 0)) (((record (changed Int) (sum Int)))))

; The lane's history, as its owner wrote it. Version 0 is the empty lane.
(declare-fun lane (Int Counter) Record)
(declare-fun dirty (Int Counter) Bool)   ; what the commit that makes the version changed
(declare-fun total (Int Counter) Int)    ; the sum it then has

(define-fun empty () Record (record 0 0))

; The rule by which the owner makes the next version out of the last one.
(define-fun committed ((v Int) (c Counter)) Bool
  (= (lane (+ v 1) c)
     (ite (dirty (+ v 1) c) (record (+ v 1) (total (+ v 1) c)) (lane v c))))

(assert (forall ((c Counter)) (= (lane 0 c) empty)))
(assert (forall ((v Int) (c Counter)) (=> (>= v 0) (committed v c))))

; 1. The lemma, by induction on the later version w: a record either did not change after v, and is
;    the same at both, or says that it changed after v; and it never says so of the future.

(define-fun stable ((v Int) (w Int) (c Counter)) Bool
  (and (<= 0 (changed (lane w c)) w)
       (=> (<= (changed (lane w c)) v) (= (lane w c) (lane v c)))))

(declare-const v Int)
(declare-const w Int)
(declare-const c Counter)

(push)
; Version 0, compared with itself.
(assert (not (stable 0 0 c)))
(echo "obligation: interval_atomicity/stable_at_the_empty_lane expect unsat")
(check-sat)
(pop)

(push)
; Base: a version compared with itself, if its own bounds hold.
(assert (and (<= 0 v) (<= 0 (changed (lane v c)) v)))
(assert (not (stable v v c)))
(echo "obligation: interval_atomicity/stable_base expect unsat")
(check-sat)
(pop)

(push)
; Step: one more commit.
(assert (and (<= 0 v w) (stable v w c) (committed w c)))
(assert (not (stable v (+ w 1) c)))
(echo "obligation: interval_atomicity/stable_step expect unsat")
(check-sat)
(pop)

; 2. Applying.

; What a replica holds of the lane: a version and records.
(declare-const held_version Int)
(declare-fun held (Counter) Record)
; The interval.
(declare-const after Int)
(declare-const to Int)

(define-fun in_interval ((x Counter)) Bool (> (changed (lane to x)) after))

; The replica after it: the interval's records replace the held ones.
(define-fun applied ((x Counter)) Record (ite (in_interval x) (lane to x) (held x)))

; Knowledge is that lane at a version.
(define-fun held_is_a_version () Bool
  (and (<= 0 held_version)
       (forall ((x Counter)) (= (held x) (lane held_version x)))))

; What induction has given: the lemma for the two versions at hand.
(define-fun lemma ((from Int) (until Int)) Bool
  (forall ((x Counter)) (stable from until x)))

(push)
; The interval begins where the replica stands: the ordinary case.
(assert (and held_is_a_version (= after held_version) (< after to) (lemma after to)))
(assert (not (= (applied c) (lane to c))))
(echo "obligation: interval_atomicity/apply_at_the_held_version expect unsat")
(check-sat)
(pop)

(push)
; It overlaps what is held: late, repeated, or meant for somebody who knew less.
(assert (and held_is_a_version (<= 0 after held_version) (< held_version to)))
(assert (lemma held_version to))
(assert (not (= (applied c) (lane to c))))
(echo "obligation: interval_atomicity/apply_an_overlapping_interval expect unsat")
(check-sat)
(pop)

(push)
; The code skips the records of an overlap that are held already: the same.
(assert (and held_is_a_version (<= 0 after held_version) (< held_version to)))
(assert (lemma held_version to))
(define-fun skipped ((x Counter)) Record
  (ite (and (in_interval x) (> (changed (lane to x)) held_version)) (lane to x) (held x)))
(assert (not (= (skipped c) (lane to c))))
(echo "obligation: interval_atomicity/records_held_already_may_be_skipped expect unsat")
(check-sat)
(pop)

(push)
; A snapshot is the interval after version 0, applied to nothing.
(assert (and held_is_a_version (= held_version 0) (= after 0) (< 0 to) (lemma 0 to)))
(assert (not (= (applied c) (lane to c))))
(echo "obligation: interval_atomicity/a_snapshot_is_the_whole_lane expect unsat")
(check-sat)
(pop)

(push)
; A relay computes the interval out of its own copy: it is the owner's interval, record by record.
(declare-fun relay (Counter) Record)
(assert (forall ((x Counter)) (= (relay x) (lane to x))))
(assert (not (and (= (> (changed (relay c)) after) (in_interval c))
                  (=> (in_interval c) (= (relay c) (lane to c))))))
(echo "obligation: interval_atomicity/any_holder_may_serve expect unsat")
(check-sat)
(pop)

(push)
; convergence: who holds the same version holds the same records.
(declare-fun other (Counter) Record)
(assert (and held_is_a_version (forall ((x Counter)) (= (other x) (lane held_version x)))))
(assert (not (= (held c) (other c))))
(echo "obligation: interval_atomicity/same_digest_same_records expect unsat")
(check-sat)
(pop)

(push)
; An interval may be cut into parts: all of them together, applied at the end, are the interval.
(declare-fun in_first_part (Counter) Bool)
(assert (and held_is_a_version (<= 0 after held_version) (< held_version to)))
(assert (lemma held_version to))
(define-fun first ((x Counter)) Record
  (ite (and (in_interval x) (in_first_part x)) (lane to x) (held x)))
(define-fun both ((x Counter)) Record
  (ite (and (in_interval x) (not (in_first_part x))) (lane to x) (first x)))
(assert (not (= (both c) (lane to c))))
(echo "obligation: interval_atomicity/parts_make_the_whole expect unsat")
(check-sat)
(pop)

; 3. Controls. Histories small enough for the solver to write down: two counters, versions 0 to 2.

(declare-const k1 Counter)
(declare-const k2 Counter)

(define-fun two_counters_two_versions () Bool
  (and (distinct k1 k2)
       (forall ((x Counter)) (or (= x k1) (= x k2)))
       (= held_version 0) (= (held k1) empty) (= (held k2) empty)
       (= to 2)))

; No version of the lane is what the replica then holds.
(define-fun no_version ((r1 Record) (r2 Record)) Bool
  (and (not (and (= r1 (lane 0 k1)) (= r2 (lane 0 k2))))
       (not (and (= r1 (lane 1 k1)) (= r2 (lane 1 k2))))
       (not (and (= r1 (lane 2 k1)) (= r2 (lane 2 k2))))))

(push)
; Piecemeal: one record of the interval is applied, the other not yet.
(assert (and two_counters_two_versions (= after 0)))
(assert (and (in_interval k1) (in_interval k2)))
(assert (no_version (lane 2 k1) (held k2)))
(echo "control: interval_atomicity/applied_piecemeal expect sat")
(check-sat)
(pop)

(push)
; A gap: the interval begins after a version that the replica has not reached.
(assert (and two_counters_two_versions (= after 1)))
(assert (no_version (applied k1) (applied k2)))
(echo "control: interval_atomicity/applied_over_a_gap expect sat")
(check-sat)
(pop)

(push)
; A relay that leaves out the records it thinks are old: only those of the newest version travel.
(assert (and two_counters_two_versions (= after 0)))
(define-fun omitted ((x Counter)) Record
  (ite (= (changed (lane 2 x)) 2) (lane 2 x) (held x)))
(assert (no_version (omitted k1) (omitted k2)))
(echo "control: interval_atomicity/a_relay_omits_records expect sat")
(check-sat)
(pop)

(push)
; The assumptions of the applying lemmas can be met, with a record that changed and one that did not.
(assert (and (distinct k1 k2) (forall ((x Counter)) (or (= x k1) (= x k2)))))
(assert (and held_is_a_version (= held_version 1) (= after 0) (= to 2)))
(assert (and (stable 1 2 k1) (stable 1 2 k2)))
(assert (and (= (changed (lane 2 k1)) 1) (= (changed (lane 2 k2)) 2)))
(echo "vacuity: interval_atomicity/an_overlapping_interval_exists expect sat")
(check-sat)
(pop)
