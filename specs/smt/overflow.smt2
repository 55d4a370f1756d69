; Ranges: no sum wraps, and an add that would leave its range is refused before anything changes.
;
; An add, or a batch of them for one counter, is a `Sum` of two u64; `Sum::checked_add` refuses to
; pass their end. A lane's totals only grow and have 128 bits. That they stay below 2^120 is not a
; matter of proof but of time: it takes 2^57 of the largest adds. A value is the sum over all lanes as
; i128. The API's value is an i64, and `Replica::add` refuses an add that would take the value, as
; this replica knows it, out of that range (or further out), and no other: what the lane has summed
; up is no reason, so that a counter whose adds cancel out goes on.
;
; What cannot be had without coordination is left out, and shown by a control: replicas that add at
; the same time may together push a merged value past i64. A read then says so (the value is not
; wrapped, since i128 holds it), and adds that lead back are taken.

(define-fun u64_max () Int 18446744073709551615)
(define-fun i64_max () Int 9223372036854775807)
(define-fun i64_min () Int (- 9223372036854775808))
(define-fun i128_max () Int 170141183460469231731687303715884105727)
(define-fun i128_min () Int (- 170141183460469231731687303715884105728))

(define-fun total_max () Int 1329227995784915872903807060280344576)  ; 2^120

(define-fun is_u64 ((x Int)) Bool (<= 0 x u64_max))
(define-fun is_total ((x Int)) Bool (<= 0 x total_max))
(define-fun is_i64 ((x Int)) Bool (<= i64_min x i64_max))
(define-fun is_i128 ((x Int)) Bool (<= i128_min x i128_max))

; 1. Machine words: a wrapped sum is seen by its being smaller than what was added to.

(declare-const a (_ BitVec 64))
(declare-const b (_ BitVec 64))
(define-fun wraps () Bool (bvult (bvadd a b) a))
(define-fun exact_sum () (_ BitVec 65) (bvadd ((_ zero_extend 1) a) ((_ zero_extend 1) b)))

(push)
; checked_add refuses exactly the sums that 64 bits do not hold.
(assert (not (= wraps (= ((_ extract 64 64) exact_sum) #b1))))
(echo "obligation: overflow/checked_add_refuses_exactly_what_wraps expect unsat")
(check-sat)
(pop)

(push)
; And what it lets through, 64 bits, is the sum.
(assert (not (= ((_ extract 63 0) exact_sum) (bvadd a b))))
(echo "obligation: overflow/a_sum_that_does_not_wrap_is_exact expect unsat")
(check-sat)
(pop)

; 2. Replica::add, over the integers.

(declare-const incremented Int)  ; the own head of the counter
(declare-const decremented Int)
(declare-const plus Int)         ; the add
(declare-const minus Int)
(declare-const others Int)       ; what all other lanes say
(assert (and (is_total incremented) (is_total decremented) (is_u64 plus) (is_u64 minus)))

; The value with everything taken, and after the add.
(define-fun value () Int (+ others (- incremented decremented)))
(define-fun would_be () Int (+ value (- plus minus)))

(define-fun moves_out () Bool
  (or (and (> would_be i64_max) (> would_be value))
      (and (< would_be i64_min) (< would_be value))))
(define-fun taken () Bool (not moves_out))

(push)
; One 128-bit word holds a total after any add, so `Total::add` wraps nothing.
(assert (not (and (is_i128 (+ incremented plus)) (is_i128 (+ decremented minus)))))
(echo "obligation: overflow/a_total_and_an_add_fit_128_bits expect unsat")
(check-sat)
(pop)

(push)
(assert (and taken (is_i64 value)))
(assert (not (is_i64 would_be)))
(echo "obligation: overflow/a_taken_add_keeps_the_value_in_range expect unsat")
(check-sat)
(pop)

(push)
; A value that concurrent adds pushed out of range can always be led back.
(assert (and (> value i64_max) (= plus 0) (> minus 0) (>= would_be i64_min)))
(assert (not taken))
(echo "obligation: overflow/an_add_that_leads_back_is_taken expect unsat")
(check-sat)
(pop)

(push)
; No refusal without reason: if the result is in range, it is taken, whatever the totals are.
(assert (is_i64 would_be))
(assert (not taken))
(echo "obligation: overflow/an_add_in_range_is_taken expect unsat")
(check-sat)
(pop)

(push)
; i128 holds the value of 127 lanes, each at its extreme, and one add more
; (`sum_lemmas/bounded_lanes_bounded_value`). Beyond that, which no adds reach, `Replica::value`
; stays at the nearest end.
(define-fun lanes_max () Int 127)
(assert (<= (- (* lanes_max total_max)) value (* lanes_max total_max)))
(assert (not (and (is_i128 value) (is_i128 would_be))))
(echo "obligation: overflow/the_value_fits_128_bits expect unsat")
(check-sat)
(pop)

(push)
; A join makes no number that was not there.
(assert (not (is_total (ite (>= incremented plus) incremented plus))))
(echo "obligation: overflow/a_join_stays_in_range expect unsat")
(check-sat)
(pop)

; 3. Controls.

(push)
; Unchecked machine addition: a sum that grew would shrink.
(assert (bvult (bvadd a b) a))
(echo "control: overflow/unchecked_addition_wraps expect sat")
(check-sat)
(pop)

(push)
; Summing up in 64 bits: two lanes in range, whose values are too, and the sum is not.
(assert (and (is_i64 others) (is_i64 (- incremented decremented)) (not (is_i64 value))))
(echo "control: overflow/a_64_bit_value_overflows expect sat")
(check-sat)
(pop)

(push)
; The documented limit: two replicas take one add each, both in range as far as each knows, and the
; merged value is not.
(declare-const elsewhere Int)   ; what another replica has taken meanwhile
(assert (and taken (is_i64 value) (> elsewhere 0) (is_i64 (+ value elsewhere))))
(assert (not (is_i64 (+ would_be elsewhere))))
(echo "control: overflow/concurrent_adds_leave_the_range_of_i64 expect sat")
(check-sat)
(pop)

(push)
; With totals of 64 bits and no more, an add that cancels out others would be refused.
(assert (and (is_i64 value) (is_i64 would_be) (is_u64 incremented)))
(assert (not (is_u64 (+ incremented plus))))
(echo "control: overflow/totals_of_64_bits_refuse_an_add_in_range expect sat")
(check-sat)
(pop)

(push)
(assert (and taken (> plus 0) (> incremented 0) (> decremented 0) (is_i64 value)))
(echo "vacuity: overflow/some_add_is_taken expect sat")
(check-sat)
(pop)

(push)
(assert moves_out)
(echo "vacuity: overflow/some_add_is_refused_for_the_value expect sat")
(check-sat)
(pop)
