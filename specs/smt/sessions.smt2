; Requests of sessions count once, for any number of replicas that a client may move them to.
;
; The home's lane says that it has taken a request, or has granted it to another replica; any other
; lane may have a claim of it, which is folded into its sums or dropped. Each of these steps rests on
; how far other lanes are held and leaves that behind as a need, so whoever holds the step holds what
; it rests on (`Interval::needs`, `Replica::receive_set`). It follows that no value anywhere ever
; counts the request twice, and that none that counts it ever ceases to.
;
; How it is abstracted. One request is enough: numbers never meet. A lane is its history: the version
; at which it takes each step, or 0 for a step that it never takes. What anybody holds of a lane is
; the lane at some version (prefix knowledge is proved in `interval_atomicity.smt2`), and may be old;
; messages are lost, doubled, reordered and relayed freely, as long as what is held covers its needs.
; Requests below `answered_below` were taken, since the client raises it no more once it has moved.
; The adds of a request are one number, 0 or 1 times; that sums add up is `sum_lemmas.smt2`. Left out:
; a client that breaks its word, refusals (a refused request is one that is not taken), and bounds.

; The replicas other than the home.
(declare-sort Replica 0)

; The home's lane.
(declare-const taken_at Int)
(declare-const granted_at Int)
(declare-const granted_to Replica)
(declare-const closed_at Int)
(declare-const gone_at Int)
(declare-fun known_at (Replica) Int)      ; since when the home knows the replica
(declare-const grant_holds Int)           ; how far the home held granted_to's lane as it granted
(declare-fun gone_holds (Replica) Int)    ; how far it held each lane as it forgot the session

; Another lane.
(declare-fun claimed_at (Replica) Int)
(declare-fun settled_at (Replica) Int)    ; when the claim was folded or dropped
(declare-fun folded (Replica) Bool)       ; which of the two
(declare-fun heard_at (Replica) Int)      ; when it reported that it holds the closing
(declare-fun claim_holds (Replica) Int)   ; how far it held the home's lane as it claimed
(declare-fun settle_holds (Replica) Int)  ; how far as it settled
(declare-fun heard_holds (Replica) Int)   ; how far as it reported

; A step was taken by version v.
(define-fun by ((step Int) (v Int)) Bool (and (< 0 step) (<= step v)))
(define-fun has_claim ((x Replica) (v Int)) Bool
  (and (by (claimed_at x) v) (not (by (settled_at x) v))))
(define-fun decided ((w Int)) Bool
  (or (by taken_at w) (by granted_at w) (by gone_at w)))

; The rules, each as its owner keeps it.

; The home takes or grants, never both; it grants a claim that it holds.
(define-fun exclusive () Bool (not (and (< 0 taken_at) (< 0 granted_at))))
(define-fun grants_a_claim () Bool (=> (< 0 granted_at) (has_claim granted_to grant_holds)))
; Only a claim is settled, when the home's lane decides, and folded when it is granted.
(define-fun settles_what_is_decided ((x Replica)) Bool
  (=> (< 0 (settled_at x))
      (and (by (claimed_at x) (- (settled_at x) 1))
           (decided (settle_holds x))
           (= (folded x) (and (by granted_at (settle_holds x)) (= granted_to x)
                              (not (by taken_at (settle_holds x))))))))
(define-fun rules () Bool
  (and exclusive grants_a_claim (forall ((x Replica)) (settles_what_is_decided x))))

; The home forgets when no lane that it holds has a claim, and none will have one (part 4).
; What it holds then covers its needs, and its own lane is not yet forgotten.
(define-fun forgets_what_is_settled () Bool
  (=> (< 0 gone_at)
      (forall ((x Replica))
        (=> (< 0 (claimed_at x))
            (and (by (settled_at x) (gone_holds x)) (< (settle_holds x) gone_at))))))

; What somebody holds: the home's lane at w, and each other lane at k.
(define-fun covers_the_grant ((w Int) (k (Array Replica Int))) Bool
  (=> (by granted_at w) (>= (select k granted_to) grant_holds)))
(define-fun covers_the_settling ((w Int) (k (Array Replica Int)) (x Replica)) Bool
  (=> (by (settled_at x) (select k x)) (>= w (settle_holds x))))
(define-fun covers_the_forgetting ((w Int) (k (Array Replica Int))) Bool
  (=> (by gone_at w) (forall ((x Replica)) (>= (select k x) (gone_holds x)))))
(define-fun covers ((w Int) (k (Array Replica Int))) Bool
  (and (covers_the_grant w k)
       (forall ((x Replica)) (covers_the_settling w k x))
       (covers_the_forgetting w k)))

; Where the request counts in a value (`Replica::value`).
(define-fun home_counts ((w Int)) Bool (by taken_at w))
(define-fun sums_count ((x Replica) (k (Array Replica Int))) Bool
  (and (folded x) (by (settled_at x) (select k x))))
(define-fun claims_count ((w Int) (k (Array Replica Int))) Bool
  (and (not (by taken_at w)) (not (by gone_at w))
       (ite (by granted_at w)
            (has_claim granted_to (select k granted_to))
            (exists ((x Replica)) (has_claim x (select k x))))))
(define-fun counts ((w Int) (k (Array Replica Int))) Bool
  (or (home_counts w) (claims_count w k) (exists ((x Replica)) (sums_count x k))))
(define-fun counts_twice ((w Int) (k (Array Replica Int))) Bool
  (or (and (home_counts w) (claims_count w k))
      (exists ((x Replica)) (and (sums_count x k) (or (home_counts w) (claims_count w k))))
      (exists ((x Replica) (y Replica))
        (and (distinct x y) (sums_count x k) (sums_count y k)))))

(declare-const x Replica)
(declare-const y Replica)
(declare-const v Int)
(declare-const w Int)
(declare-const w2 Int)
(declare-const k (Array Replica Int))
(declare-const k2 (Array Replica Int))

; 1. Once.

(push)
(assert (and rules forgets_what_is_settled (covers w k) (counts_twice w k)))
(echo "obligation: sessions/a_request_counts_once expect unsat")
(check-sat)
(pop)

; Later: more of the lanes is held.
(define-fun later () Bool
  (and (<= w w2) (forall ((z Replica)) (<= (select k z) (select k2 z)))))

(push)
(assert (and rules forgets_what_is_settled (covers w k) (covers w2 k2) later))
(assert (and (counts w k) (not (counts w2 k2))))
(echo "obligation: sessions/what_counts_goes_on_counting expect unsat")
(check-sat)
(pop)

(push)
; Who claims holds that nothing is decided, and counts the request from then on: so it may answer.
(assert (and rules (< 0 (claimed_at x)) (not (decided w)) (not (< 0 (settled_at x)))))
(assert (>= (select k x) (claimed_at x)))
(assert (not (counts w k)))
(echo "obligation: sessions/a_claim_counts_at_once expect unsat")
(check-sat)
(pop)

; 2. Steps of settling change no value: the same is held before and after, but for the step.

(define-fun one_step_of ((z Replica) (step Int)) Bool
  (and (= w w2) (= (select k2 z) step) (= k (store k2 z (- step 1)))))

(push)
(assert (and rules forgets_what_is_settled (covers w k) (covers w2 k2)))
(assert (and (< 0 (settled_at x)) (folded x) (one_step_of x (settled_at x))))
(assert (distinct (counts w k) (counts w2 k2)))
(echo "obligation: sessions/a_fold_changes_no_value expect unsat")
(check-sat)
(pop)

(push)
(assert (and rules forgets_what_is_settled (covers w k) (covers w2 k2)))
(assert (and (< 0 (settled_at x)) (not (folded x)) (one_step_of x (settled_at x))))
(assert (distinct (counts w k) (counts w2 k2)))
(echo "obligation: sessions/a_drop_changes_no_value expect unsat")
(check-sat)
(pop)

(push)
(assert (and rules forgets_what_is_settled (covers w k) (covers w2 k2)))
(assert (and (< 0 granted_at) (= w2 granted_at) (= w (- w2 1)) (= k k2)))
(assert (distinct (counts w k) (counts w2 k2)))
(echo "obligation: sessions/a_grant_changes_no_value expect unsat")
(check-sat)
(pop)

(push)
(assert (and rules forgets_what_is_settled (covers w k) (covers w2 k2)))
(assert (and (< 0 gone_at) (= w2 gone_at) (= w (- w2 1)) (= k k2)))
; The step of forgetting takes and grants nothing itself.
(assert (and (distinct taken_at gone_at) (distinct granted_at gone_at)))
(assert (distinct (counts w k) (counts w2 k2)))
(echo "obligation: sessions/forgetting_changes_no_value expect unsat")
(check-sat)
(pop)

; 3. The home decides once, at its next version, by its own lane.

(push)
(declare-const now Int)
(declare-const taken_then Int)
(declare-const granted_then Int)
; Neither is undone; a step is taken only where neither was, and only one of them.
(assert (and exclusive (<= 0 taken_at now) (<= 0 granted_at now)))
(assert (=> (or (< 0 taken_at) (< 0 granted_at))
            (and (= taken_then taken_at) (= granted_then granted_at))))
(assert (=> (= 0 taken_at granted_at)
            (or (and (= taken_then (+ now 1)) (= granted_then 0))
                (and (= taken_then 0) (= granted_then (+ now 1)))
                (= taken_then granted_then 0))))
(assert (and (< 0 taken_then) (< 0 granted_then)))
(echo "obligation: sessions/the_home_decides_once expect unsat")
(check-sat)
(pop)

; 4. Forgetting.

; Who claims holds that the home knows it and has not closed the session; who has reported a closing
; holds it, and holds no less later.
(define-fun claims_by_the_rules ((z Replica)) Bool
  (=> (< 0 (claimed_at z))
      (and (by (known_at z) (claim_holds z))
           (not (by closed_at (claim_holds z)))
           (=> (and (< 0 (heard_at z)) (<= (heard_at z) (claimed_at z)))
               (<= (heard_holds z) (claim_holds z))))))
(define-fun reports_a_closing ((z Replica)) Bool
  (=> (< 0 (heard_at z)) (by closed_at (heard_holds z))))
; The home forgets what it has closed, when all that it knows have reported and nobody has a claim;
; what it holds then covers its needs.
(define-fun forgets_by_the_rules () Bool
  (=> (< 0 gone_at)
      (and (by closed_at (- gone_at 1))
           (forall ((z Replica))
             (and (=> (by (known_at z) gone_at) (by (heard_at z) (gone_holds z)))
                  (not (has_claim z (gone_holds z)))
                  (=> (by (settled_at z) (gone_holds z)) (< (settle_holds z) gone_at)))))))

(push)
(assert (forall ((z Replica)) (and (claims_by_the_rules z) (reports_a_closing z))))
(assert (and forgets_by_the_rules (not forgets_what_is_settled)))
(echo "obligation: sessions/what_is_forgotten_is_settled expect unsat")
(check-sat)
(pop)

(push)
; A claim that was settled is not made again: its replica holds what decided it.
(assert (and rules (< 0 (settled_at x)) (>= v (settle_holds x)) (not (decided v))))
(echo "obligation: sessions/what_is_settled_is_not_claimed_again expect unsat")
(check-sat)
(pop)

; 5. Controls: each rule broken. Two replicas, apart from the home.

(define-fun two_replicas () Bool
  (and (distinct x y) (forall ((z Replica)) (or (= z x) (= z y)))))
(define-fun settled_by_the_rules () Bool
  (forall ((z Replica)) (settles_what_is_decided z)))

(push)
; Taking what is granted.
(assert (and two_replicas grants_a_claim settled_by_the_rules forgets_what_is_settled))
(assert (and (covers w k) (counts_twice w k)))
(echo "control: sessions/taken_and_granted expect sat")
(check-sat)
(pop)

(push)
; A grant that does not need the claim: where only another's claim is held, nothing counts.
(assert (and two_replicas rules (= gone_at 0) (covers w k) later (counts w k)))
(assert (and (forall ((z Replica)) (covers_the_settling w2 k2 z)) (not (counts w2 k2))))
(echo "control: sessions/a_grant_without_its_need expect sat")
(check-sat)
(pop)

(push)
; A fold that does not need the grant: another's claim counts beside it.
(assert (and two_replicas rules (= gone_at 0) (covers_the_grant w k) (folded x)))
(assert (and (covers_the_settling w k y) (counts_twice w k)))
(echo "control: sessions/a_fold_without_its_need expect sat")
(check-sat)
(pop)

(push)
; A drop that does not need what was taken.
(assert (and two_replicas rules (= gone_at 0) (< 0 taken_at) (covers w k) later (counts w k)))
(assert (and (covers_the_grant w2 k2) (not (counts w2 k2))))
(echo "control: sessions/a_drop_without_its_need expect sat")
(check-sat)
(pop)

(push)
; Forgetting without needing the others' lanes.
(assert (and two_replicas rules forgets_what_is_settled (covers w k) later (counts w k)))
(assert (and (covers_the_grant w2 k2) (forall ((z Replica)) (covers_the_settling w2 k2 z))))
(assert (not (counts w2 k2)))
(echo "control: sessions/forgetting_without_its_needs expect sat")
(check-sat)
(pop)

(push)
; Forgetting while somebody has a claim.
(assert (and two_replicas rules (covers w k) (covers w2 k2) later (counts w k)))
(assert (not (counts w2 k2)))
(echo "control: sessions/forgotten_too_early expect sat")
(check-sat)
(pop)

(push)
; Forgetting before one that the home knows has reported: it may claim later.
(assert (and two_replicas (< 0 gone_at) (by closed_at (- gone_at 1))))
(assert (forall ((z Replica)) (and (claims_by_the_rules z) (reports_a_closing z))))
(assert (forall ((z Replica)) (not (has_claim z (gone_holds z)))))
(assert (not forgets_what_is_settled))
(echo "control: sessions/forgotten_before_all_have_reported expect sat")
(check-sat)
(pop)

(push)
; Folding what is not granted.
(assert (and two_replicas exclusive grants_a_claim (= gone_at 0) (covers w k)))
(assert (and (by (claimed_at x) (- (settled_at x) 1)) (folded x) (settles_what_is_decided y)))
(assert (counts_twice w k))
(echo "control: sessions/folded_and_not_granted expect sat")
(check-sat)
(pop)

(push)
; A value that does not look at the grant: another's claim counts beside the fold.
(assert (and two_replicas rules (= gone_at 0) (covers w k) (sums_count x k) (has_claim y (select k y))))
(echo "control: sessions/a_value_blind_to_grants expect sat")
(check-sat)
(pop)

; 6. Vacuity.

(push)
; Two claim, one is granted and folds, the other drops, the session is closed, reported and forgotten;
; and somebody holds all of that.
(assert (and two_replicas rules forgets_what_is_settled forgets_by_the_rules))
(assert (forall ((z Replica)) (and (claims_by_the_rules z) (reports_a_closing z))))
(assert (and (< 0 (claimed_at x)) (< 0 (claimed_at y)) (= granted_to x) (< 0 granted_at)))
(assert (and (folded x) (not (folded y)) (< 0 closed_at) (by gone_at w) (covers w k)))
(assert (and (counts w k) (< 0 (heard_at x)) (< 0 (heard_at y))))
(echo "vacuity: sessions/a_moved_session_is_forgotten expect sat")
(check-sat)
(pop)

(push)
; A view that counts a claim although the home has taken the request, and a later one.
(assert (and two_replicas rules (= gone_at 0) (< 0 taken_at) (covers w k) (covers w2 k2) later))
(assert (and (claims_count w k) (home_counts w2) (not (claims_count w2 k2))))
(echo "vacuity: sessions/a_claim_of_what_was_taken expect sat")
(check-sat)
(pop)
