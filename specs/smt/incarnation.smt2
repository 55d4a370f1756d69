; A lane that was rolled back or copied, and how it is found out.
;
; A data directory may be restored from a backup, or copied to a second machine. Its owner then goes
; on from version k and writes other versions k + 1, k + 2, ... than those that peers may hold: the
; lane has forked into an old branch and a new one. Versions alone do not show it, since both have
; equal ones. So every start of a process draws a random start id, and each version of a lane belongs
; to the start that wrote it; a mark is a version together with its start.
;
; The one assumption: starts on the new branch after k differ from all starts on the old one. They
; are 64 random bits, drawn by a process that did not write the old branch after k. (Two branches of
; one running process would break it; a process whose disk loses what was synced cannot be helped,
; which is why a failed sync ends it.)
;
; What is proved, for any number of versions and starts, with the checks as the code makes them
; (`History::admits`, `History::continues`, `Replica::admits`): as soon as the owner and a peer that
; holds any version of the lost suffix exchange one mark, in either direction, it is detected, no
; matter how far either has gone on; such a peer never applies an interval of the new branch; and
; nobody is accused without reason. A disk that was lost altogether is not a fork: its successor is
; another lane, at version 0, and `counter_invariant.smt2` holds for it as for any other replica.

(declare-sort Start 0)

; The start that wrote each version, on the old branch and on the new one; they part after k.
(declare-fun old_start (Int) Start)
(declare-fun new_start (Int) Start)
(declare-const k Int)

(assert (>= k 0))
(assert (forall ((v Int)) (=> (<= v k) (= (old_start v) (new_start v)))))
(define-fun fresh () Bool
  (forall ((v Int) (w Int)) (=> (and (> v k) (> w 0)) (distinct (new_start v) (old_start w)))))

(declare-datatypes ((Mark 0)) (((mark (version Int) (start Start)))))
(define-fun old_mark ((v Int)) Mark (mark v (old_start v)))
(define-fun new_mark ((v Int)) Mark (mark v (new_start v)))

; Replica::admits for the own lane, held on the new branch up to version h: nobody can know more of
; it than the owner, and where the owner has the version, the start must be the same.
(define-fun owner_admits ((h Int) (seen Mark)) Bool
  (and (<= (version seen) h) (= (start seen) (new_start (version seen)))))

; History::admits at a peer that holds the old branch up to version p.
(define-fun peer_admits ((p Int) (seen Mark)) Bool
  (=> (<= (version seen) p) (= (start seen) (old_start (version seen)))))

; History::continues at that peer, for an interval of the new branch: its ends must be admitted, and
; the start that it names for the version the peer holds must be the peer's.
(define-fun peer_applies ((p Int) (after Int) (to Int)) Bool
  (and (<= after p) (< p to)
       (peer_admits p (new_mark after))
       (peer_admits p (new_mark to))
       (= (new_start p) (old_start p))))

(declare-const h Int)     ; how far the owner is, on the new branch
(declare-const p Int)     ; how far the peer is, on the old branch
(declare-const after Int)
(declare-const to Int)
(assert (<= k h))
(assert (<= 0 after to h))

(push)
; A peer that holds a version of the lost suffix asks the owner for what comes after it.
(assert (and fresh (> p k)))
(assert (owner_admits h (old_mark p)))
(echo "obligation: incarnation/the_owner_detects_a_peer_of_the_lost_suffix expect unsat")
(check-sat)
(pop)

(push)
; The owner tells its mark, having written anything since: the peer detects it, if it is as far.
(assert (and fresh (> p k) (> h k) (<= h p)))
(assert (peer_admits p (new_mark h)))
(echo "obligation: incarnation/a_peer_detects_the_owner_that_is_behind expect unsat")
(check-sat)
(pop)

(push)
; Whatever interval of the new branch arrives, from the owner or a relay, the peer does not mix it in.
(assert (and fresh (> p k)))
(assert (peer_applies p after to))
(echo "obligation: incarnation/the_branches_never_mix expect unsat")
(check-sat)
(pop)

(push)
; Two peers, one of each branch, tell each other: a fork is found even with its owner away.
(declare-const n Int)
(assert (and fresh (> p k) (> n k) (<= n p)))
(assert (peer_admits p (new_mark n)))
(echo "obligation: incarnation/peers_detect_it_among_themselves expect unsat")
(check-sat)
(pop)

(push)
; No false alarm at the owner: a peer's mark on the owner's own history, not beyond it.
(assert (and (<= 0 p h)))
(assert (not (owner_admits h (new_mark p))))
(echo "obligation: incarnation/no_false_alarm_at_the_owner expect unsat")
(check-sat)
(pop)

(push)
; No false alarm at a peer that holds nothing of the lost suffix: it takes the new branch.
(assert (and (<= 0 p k) (<= after p) (< p to)))
(assert (not (peer_applies p after to)))
(echo "obligation: incarnation/no_false_alarm_at_a_peer expect unsat")
(check-sat)
(pop)

(push)
; Comparing versions without starts: once the owner has written as many versions again, it looks
; like an ordinary owner, and what it acknowledged since is missing at the peer for ever.
(assert (and fresh (> p k)))
(assert (<= p h))   ; all that a check of versions can see
(echo "control: incarnation/versions_without_starts_miss_it expect sat")
(check-sat)
(pop)

(push)
; Reusing the start after a restart (a start id kept on the disk that is rolled back).
(assert (> p k))
(assert (owner_admits h (old_mark p)))
(echo "control: incarnation/a_start_kept_on_disk_misses_it expect sat")
(check-sat)
(pop)

(push)
; Without the start of the version that the peer holds, only the interval's ends would be compared,
; and a longer interval of the new branch would be taken.
(assert (and fresh (> p k) (<= after p) (< p to)))
(assert (and (peer_admits p (new_mark after)) (peer_admits p (new_mark to))))
(echo "control: incarnation/comparing_only_the_ends_mixes_branches expect sat")
(check-sat)
(pop)

(push)
; Forks as assumed exist: both branches go on after k, and each under several starts.
(assert (and fresh (= k 2) (= p 4) (= h 5)))
(assert (distinct (new_start 3) (new_start 5) (old_start 1) (old_start 3) (old_start 4)))
(echo "vacuity: incarnation/a_fork_exists expect sat")
(check-sat)
(pop)
