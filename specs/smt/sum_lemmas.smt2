; From one lane to a value: sums over any number of replicas.
;
; A counter's value is the sum of its records over all lanes. The other files speak of one lane at a
; time; these lemmas carry what they prove over to values. A sum over the first n of an enumeration
; of the replicas is defined step by step, and each lemma is proved by induction on n: a base and a
; step, both without quantifiers over n. That the induction principle itself holds is not a question
; for a solver.
;
; Left out: that the order of the enumeration is irrelevant. It follows from `change_of_one_lane`:
; build any assignment up from zeros, one lane at a time, in whichever order.

; The records of one counter, by lane; f and g are what two replicas (or a replica and a ghost) hold.
(declare-fun f (Int) Int)
(declare-fun g (Int) Int)

; The sums over the first n lanes; only the two values of n at hand are constrained.
(declare-fun sum_f (Int) Int)
(declare-fun sum_g (Int) Int)
(define-fun sums_begin () Bool (and (= (sum_f 0) 0) (= (sum_g 0) 0)))
(define-fun sums_continue ((n Int)) Bool
  (and (= (sum_f (+ n 1)) (+ (sum_f n) (f n)))
       (= (sum_g (+ n 1)) (+ (sum_g n) (g n)))))

(declare-const n Int)
(assert (>= n 0))

; 1. Equal in each lane, equal in sum: convergence and conservation of values.

(push)
(assert sums_begin)
(assert (not (= (sum_f 0) (sum_g 0))))
(echo "obligation: sum_lemmas/equal_lanes_equal_values_base expect unsat")
(check-sat)
(pop)

(push)
(assert (and (sums_continue n) (= (f n) (g n)) (= (sum_f n) (sum_g n))))
(assert (not (= (sum_f (+ n 1)) (sum_g (+ n 1)))))
(echo "obligation: sum_lemmas/equal_lanes_equal_values_step expect unsat")
(check-sat)
(pop)

; 2. At most as much in each lane, at most as much in sum: no_phantom and monotonic_reads of values.

(push)
(assert sums_begin)
(assert (not (<= (sum_f 0) (sum_g 0))))
(echo "obligation: sum_lemmas/smaller_lanes_smaller_value_base expect unsat")
(check-sat)
(pop)

(push)
(assert (and (sums_continue n) (<= (f n) (g n)) (<= (sum_f n) (sum_g n))))
(assert (not (<= (sum_f (+ n 1)) (sum_g (+ n 1)))))
(echo "obligation: sum_lemmas/smaller_lanes_smaller_value_step expect unsat")
(check-sat)
(pop)

; 3. A change of one lane changes the value by as much: an add of x raises it by x, wherever it is
;    made. g is f, except in lane i, where it is larger by x.

(declare-const i Int)
(declare-const x Int)
(define-fun change_of_one_lane ((m Int)) Bool
  (= (sum_g m) (ite (< i m) (+ (sum_f m) x) (sum_f m))))

(push)
(assert (and sums_begin (<= 0 i)))
(assert (not (change_of_one_lane 0)))
(echo "obligation: sum_lemmas/change_of_one_lane_base expect unsat")
(check-sat)
(pop)

(push)
(assert (and (sums_continue n) (<= 0 i) (= (g n) (ite (= n i) (+ (f n) x) (f n)))))
(assert (change_of_one_lane n))
(assert (not (change_of_one_lane (+ n 1))))
(echo "obligation: sum_lemmas/change_of_one_lane_step expect unsat")
(check-sat)
(pop)

; 4. The value is the sum of what was incremented less the sum of what was decremented, whether one
;    subtracts lane by lane or at the end. Here f is increments, g decrements, d their difference.

(declare-fun d (Int) Int)
(declare-fun sum_d (Int) Int)

(push)
(assert (and sums_begin (= (sum_d 0) 0)))
(assert (not (= (sum_d 0) (- (sum_f 0) (sum_g 0)))))
(echo "obligation: sum_lemmas/difference_of_sums_base expect unsat")
(check-sat)
(pop)

(push)
(assert (and (sums_continue n) (= (sum_d (+ n 1)) (+ (sum_d n) (d n))) (= (d n) (- (f n) (g n)))))
(assert (= (sum_d n) (- (sum_f n) (sum_g n))))
(assert (not (= (sum_d (+ n 1)) (- (sum_f (+ n 1)) (sum_g (+ n 1))))))
(echo "obligation: sum_lemmas/difference_of_sums_step expect unsat")
(check-sat)
(pop)

; 5. Bounded in each lane, bounded in sum by as many times the bound.

(declare-const bound Int)

(push)
(assert (and sums_begin (>= bound 0)))
(assert (not (<= (sum_f 0) (* 0 bound))))
(echo "obligation: sum_lemmas/bounded_lanes_bounded_value_base expect unsat")
(check-sat)
(pop)

(push)
; `times` stands for n * bound, so that the step stays linear.
(declare-const times Int)
(assert (and (sums_continue n) (<= (f n) bound) (<= (sum_f n) times)))
(assert (not (<= (sum_f (+ n 1)) (+ times bound))))
(echo "obligation: sum_lemmas/bounded_lanes_bounded_value_step expect unsat")
(check-sat)
(pop)

; Controls and vacuity.

(push)
; Equal values do not mean equal lanes: the converse of the first lemma is false, so digests, and
; not values, tell whether replicas agree.
(assert (and sums_begin (sums_continue 0) (sums_continue 1)))
(assert (and (= (sum_f 2) (sum_g 2)) (distinct (f 0) (g 0))))
(echo "control: sum_lemmas/equal_values_from_different_lanes expect sat")
(check-sat)
(pop)

(push)
(assert (and sums_begin (sums_continue 0) (sums_continue 1) (> (f 0) 0) (> (f 1) 0)))
(assert (and (= (f 0) (g 0)) (< (f 1) (g 1))))
(echo "vacuity: sum_lemmas/two_lanes_with_records expect sat")
(check-sat)
(pop)
