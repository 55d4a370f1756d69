; Exactly-once adds by request ids: DESIGN PROOF. Claims, seals, settling, folding, joining and
; retiring are designed and not implemented yet. Nothing here says anything about code: it is the
; argument that the design is worth implementing, checked.
;
; A replica that takes an add with an id writes a claim of the id to its lane. An id belongs to an
; epoch. A replica seals an epoch by a record in its lane: it takes no more ids of that epoch or
; earlier ones. A replica that holds the seals of all members for e holds every claim of e; it moves
; them, counting each id once, to a settled total, and ignores claims of e from then on.
;
; How it is abstracted. A lane is its history: which ids it claims and which epoch it has sealed, at
; each version. What q knows of r's lane is that lane at the version known(q, r): prefix knowledge is
; proved in `interval_atomicity.smt2`, so loss, delay, doubling, reordering and relaying are nothing
; but a known(q, r) that is lower than it might be. An amount belongs to its id, so the same set of
; ids is the same total; the sums themselves are `sum_lemmas.smt2`. "The same id with two amounts" is
; left out, and so are clocks: they say when an epoch is sealed, and no lemma mentions when.

(declare-sort Replica 0)
(declare-sort Id 0)
(declare-fun epoch (Id) Int)

; r's lane at version v claims the id; r's lane at version v has sealed all epochs up to this one.
(declare-fun claims (Replica Int Id) Bool)
(declare-fun sealed (Replica Int) Int)
; The versions at which q holds r's lane.
(declare-fun known (Replica Replica) Int)

; 1. A sealed lane is closed. The owner's rule for its next version: seals are never taken back, and
;    ids are claimed, and claims folded (part 4), only in epochs that are not sealed.

(define-fun next_version ((r Replica) (v Int) (i Id)) Bool
  (and (>= (sealed r (+ v 1)) (sealed r v))
       (=> (distinct (claims r (+ v 1) i) (claims r v i)) (> (epoch i) (sealed r v)))))

; Between versions v and w: seals only grow, and of what v has sealed the claims are the same at w.
(define-fun closed ((r Replica) (v Int) (w Int) (i Id)) Bool
  (and (>= (sealed r w) (sealed r v))
       (=> (<= (epoch i) (sealed r v)) (= (claims r w i) (claims r v i)))))

(declare-const r Replica)
(declare-const q Replica)
(declare-const p Replica)
(declare-const i Id)
(declare-const e Int)
(declare-const v Int)
(declare-const w Int)

(push)
(assert (not (closed r v v i)))
(echo "obligation: claims/a_sealed_lane_is_closed_base expect unsat")
(check-sat)
(pop)

(push)
(assert (and (<= v w) (closed r v w i) (next_version r w i)))
(assert (not (closed r v (+ w 1) i)))
(echo "obligation: claims/a_sealed_lane_is_closed_step expect unsat")
(check-sat)
(pop)

; From here on the lemma is assumed for all versions, as induction has given it.
(define-fun lanes_are_closed () Bool
  (forall ((x Replica) (a Int) (b Int) (j Id)) (=> (<= a b) (closed x a b j))))

; 2. An id counts once. What q counts is a set of ids, live or settled, never a number of claims.

(define-fun sees ((x Replica) (j Id)) Bool
  (exists ((y Replica)) (claims y (known x y) j)))

(push)
; An id claimed in a second lane changes the set of nobody who saw the first.
(declare-fun before (Replica Id) Bool)
(declare-fun after (Replica Id) Bool)
(assert (before p i))
(assert (forall ((x Replica) (j Id)) (= (after x j) (or (before x j) (and (= x r) (= j i))))))
(declare-const j Id)
(assert (not (= (exists ((x Replica)) (before x j)) (exists ((x Replica)) (after x j)))))
(echo "obligation: claims/a_retry_elsewhere_counts_once expect unsat")
(check-sat)
(pop)

; 3. Settling.

; x holds the seals of all members for the epoch.
(define-fun may_settle ((x Replica) (epoch_settled Int)) Bool
  (forall ((y Replica)) (>= (sealed y (known x y)) epoch_settled)))

(push)
; Who may settle e sees every claim of e that any lane holds once it has sealed e, then or later.
(assert (and lanes_are_closed (may_settle q e) (<= (epoch i) e)))
(assert (and (>= (sealed r w) e) (claims r w i)))
(assert (not (sees q i)))
(echo "obligation: claims/who_may_settle_holds_every_claim expect unsat")
(check-sat)
(pop)

(push)
; So all who settle e settle the same ids, whenever they do: the settled total is the same.
(assert (and lanes_are_closed (may_settle q e) (may_settle p e) (<= (epoch i) e)))
(assert (not (= (sees q i) (sees p i))))
(echo "obligation: claims/all_settle_the_same expect unsat")
(check-sat)
(pop)

; A replica's count, as a set of ids: settled ones, and claims of epochs it has not settled.
(define-fun counts ((settled_up_to Int) (settled Bool) (seen Bool) (j Id)) Bool
  (or settled (and seen (> (epoch j) settled_up_to))))

(push)
; Settling changes no value: the id counts after it if and only if it did before; and not twice.
(declare-const done Int)            ; settled up to here before
(declare-const was_settled Bool)    ; whether i was settled then
(assert (and lanes_are_closed (may_settle q e) (< done e)))
(assert (=> was_settled (<= (epoch i) done)))
(define-fun is_settled () Bool
  (or was_settled (and (sees q i) (< done (epoch i)) (<= (epoch i) e))))
(assert (or
  (not (= (counts done was_settled (sees q i) i) (counts e is_settled (sees q i) i)))
  (and is_settled (sees q i) (> (epoch i) e))))
(echo "obligation: claims/settling_changes_no_value expect unsat")
(check-sat)
(pop)

(push)
; A claim is dropped from its lane once all members say that they have settled its epoch: what any
; of them counts is no longer a matter of whether it sees the claim.
(declare-fun settled_up_to (Replica) Int)      ; now
(declare-fun said (Replica) Int)               ; as r knows it; what was said stays true
(assert (forall ((x Replica)) (<= (said x) (settled_up_to x))))
(assert (forall ((x Replica)) (<= (epoch i) (said x))))
(declare-const settled Bool)
(assert (not (= (counts (settled_up_to q) settled true i) (counts (settled_up_to q) settled false i))))
(echo "obligation: claims/dropping_a_claim_changes_no_value expect unsat")
(check-sat)
(pop)

(push)
; An id of a settled epoch that comes late is refused by every replica.
(assert (and lanes_are_closed (may_settle q e) (<= (epoch i) e)))
(assert (and (>= w (known q r)) (next_version r w i)))
(assert (and (claims r (+ w 1) i) (not (claims r w i))))
(echo "obligation: claims/a_late_id_is_refused expect unsat")
(check-sat)
(pop)

; 4. Folding: r moves its claim of i into its sum, in one commit, before it has sealed i's epoch.

(push)
; Nobody has settled the epoch by then, however much they know: w is r's version when it folds.
(assert (and lanes_are_closed (<= (known q r) w) (> (epoch i) (sealed r w))))
(assert (may_settle q (epoch i)))
(echo "obligation: claims/nobody_has_settled_what_is_folded expect unsat")
(check-sat)
(pop)

; i is claimed by r's lane at `taken`, and is in r's sum instead from `fold` on: one commit.
(declare-const taken Int)
(declare-const fold Int)
(define-fun taken_and_folded () Bool
  (and (< taken fold)
       (forall ((b Int)) (= (claims r b i) (and (<= taken b) (< b fold))))))
(define-fun times_counted ((x Replica)) Int
  (+ (ite (sees x i) 1 0) (ite (>= (known x r) fold) 1 0)))

(push)
; Whoever has heard of the add counts it once: as a claim, or in the sum, never both, never neither.
; (It is not settled, by the lemma before, and cannot be later, since its only claim is gone.)
(assert (and taken_and_folded (>= (known q r) taken)))
(assert (forall ((x Replica) (b Int)) (=> (distinct x r) (not (claims x b i)))))
(assert (not (= (times_counted q) 1)))
(echo "obligation: claims/a_folded_claim_counts_once expect unsat")
(check-sat)
(pop)

; 5. Joining. The announcer a writes "j is a member from epoch f" at version `announced`, not having
;    sealed f; j claims only ids of epochs from f on.

(declare-const a Replica)
(declare-const f Int)
(declare-const announced Int)

(push)
; Whoever holds a's seal of f or a later epoch holds the announcement too, and so knows that it must
; wait for j's seal.
(assert (and lanes_are_closed (< (sealed a announced) f)))
(assert (and (>= e f) (>= (sealed a (known q a)) e)))
(assert (not (>= (known q a) announced)))
(echo "obligation: claims/nobody_settles_past_an_unheard_announcement expect unsat")
(check-sat)
(pop)

(push)
; And an epoch settled without waiting for j has no claim of j.
(declare-const j Replica)
(assert (forall ((b Int) (x Id)) (=> (claims j b x) (>= (epoch x) f))))
(assert (and (< e f) (<= (epoch i) e) (claims j w i)))
(echo "obligation: claims/earlier_epochs_have_no_claim_of_the_joiner expect unsat")
(check-sat)
(pop)

; 6. Retiring d. Every remaining member declares how far it holds d's lane; the lane ends at the
;    highest declared version; who settles without d's seal first fetches the lane to its end.

(declare-const d Replica)
(declare-fun declared (Replica) Int)
(define-fun is_end ((end Int)) Bool
  (and (forall ((x Replica)) (=> (distinct x d) (<= (declared x) end)))
       (exists ((x Replica)) (and (distinct x d) (= (declared x) end)))))
(define-fun may_settle_without_d ((x Replica) (epoch_settled Int) (end Int)) Bool
  (and (= (known x d) end)
       (forall ((y Replica)) (=> (distinct y d) (>= (sealed y (known x y)) epoch_settled)))))

(push)
; The end is one version, the same for everybody who has all declarations.
(assert (and (is_end v) (is_end w) (distinct v w)))
(echo "obligation: claims/a_retired_lane_has_one_end expect unsat")
(check-sat)
(pop)

(push)
; All who settle e without d's seal settle the same ids (retirement_exactness).
(assert (and lanes_are_closed (is_end v) (<= (epoch i) e)))
(assert (and (may_settle_without_d q e v) (may_settle_without_d p e v)))
(assert (not (= (sees q i) (sees p i))))
(echo "obligation: claims/all_settle_the_same_without_the_retired expect unsat")
(check-sat)
(pop)

(push)
; So does who settled e earlier, with d's seal: what it held then it has declared since.
(assert (and lanes_are_closed (is_end v) (<= (epoch i) e) (distinct p d)))
(assert (and (may_settle p e) (<= (known p d) (declared p)) (may_settle_without_d q e v)))
(assert (not (= (sees q i) (sees p i))))
(echo "obligation: claims/settled_before_or_after_a_retirement_is_the_same expect unsat")
(check-sat)
(pop)

; 7. Controls: each rule broken. The lanes are written down: r claims i at version 1 and seals epoch
;    1, that of i, at version 2; the others seal it at once and claim nothing.

(define-fun an_epoch_of_one_claim () Bool
  (and (distinct p q r) (= (epoch i) 1)
       (forall ((x Replica) (b Int) (j Id)) (= (claims x b j) (and (= x r) (= j i) (>= b 1))))
       (forall ((x Replica) (b Int)) (= (sealed x b) (ite (or (>= b 2) (distinct x r)) 1 0)))
       lanes_are_closed))

(push)
; Settling without one member's seal.
(define-fun all_but_r ((x Replica)) Bool
  (forall ((y Replica)) (=> (distinct y r) (>= (sealed y (known x y)) 1))))
(assert (and an_epoch_of_one_claim (all_but_r q) (all_but_r p)))
(assert (not (= (sees q i) (sees p i))))
(echo "control: claims/settled_without_one_seal expect sat")
(check-sat)
(pop)

(push)
; Folding after the own seal: q may have settled the claim, and then sees it in the sum as well.
(assert (and an_epoch_of_one_claim (<= (epoch i) (sealed r w)) (<= (known q r) w)))
(assert (and (may_settle q 1) (sees q i)))
(echo "control: claims/folded_after_the_own_seal expect sat")
(check-sat)
(pop)

(push)
; Folding what was also tried elsewhere: the sum counts it, and so does the other lane's claim.
(assert (and taken_and_folded (>= (known q r) taken) (distinct p r)))
(assert (forall ((b Int)) (= (claims p b i) (>= b 1))))
(assert (= (times_counted q) 2))
(echo "control: claims/folded_what_was_tried_elsewhere expect sat")
(check-sat)
(pop)

(push)
; Dropping a claim when only some have settled: q, which has not, counts it no longer.
(declare-const up_to Int)
(assert (> (epoch i) up_to))
(assert (not (= (counts up_to false true i) (counts up_to false false i))))
(echo "control: claims/dropped_before_all_have_settled expect sat")
(check-sat)
(pop)

(push)
; Joining without an announcement: q settles without r, of which it has not heard; p waits for it.
(assert (and an_epoch_of_one_claim (= (known q r) 0)))
(assert (forall ((y Replica)) (=> (distinct y r) (>= (sealed y (known q y)) 1))))
(assert (and (may_settle p 1) (sees p i) (not (sees q i))))
(echo "control: claims/joined_without_an_announcement expect sat")
(check-sat)
(pop)

(push)
; Counting a retired replica as sealed before all have declared: two settle at two ends of its lane.
(assert (and an_epoch_of_one_claim (= d r)))
(assert (and (may_settle_without_d q 1 v) (may_settle_without_d p 1 w)))
(assert (not (= (sees q i) (sees p i))))
(echo "control: claims/retired_before_all_have_declared expect sat")
(check-sat)
(pop)

(push)
; Taking an id of an epoch that is sealed: the lane is not closed.
(assert (and (claims r (+ v 1) i) (not (claims r v i)) (<= (epoch i) (sealed r v))))
(assert (not (closed r v (+ v 1) i)))
(echo "control: claims/taken_after_the_own_seal expect sat")
(check-sat)
(pop)

; 8. Vacuity.

(push)
; An epoch with a claim is settled by two, at different knowledge.
(assert (and an_epoch_of_one_claim (may_settle q 1) (may_settle p 1) (sees q i)))
(assert (distinct (known p r) (known q r)))
(echo "vacuity: claims/an_epoch_with_a_claim_is_settled expect sat")
(check-sat)
(pop)

(push)
; A claim is folded before its epoch is sealed, in closed lanes.
(assert (and taken_and_folded (= taken 1) (= fold 2) (= (epoch i) 1)))
(assert (forall ((x Replica) (b Int)) (= (sealed x b) (ite (>= b 3) 1 0))))
(assert (forall ((x Replica) (b Int) (j Id)) (=> (distinct j i) (not (claims x b j)))))
(assert (forall ((x Replica) (b Int)) (=> (distinct x r) (not (claims x b i)))))
(assert (and lanes_are_closed (= (known q r) 2)))
(echo "vacuity: claims/a_claim_is_folded expect sat")
(check-sat)
(pop)

(push)
(assert (and (distinct p q d) (= (declared p) 3) (= (declared q) 5)))
(assert (forall ((x Replica)) (or (= x p) (= x q) (= x d))))
(assert (is_end v))
(echo "vacuity: claims/a_retired_lane_has_an_end expect sat")
(check-sat)
(pop)
