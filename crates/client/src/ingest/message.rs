//! The messages in flight, over all streams of one [`Ingest`](super::Ingest), and what became of them.
//! It knows neither connections nor nodes.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use super::Outcome;
use crate::session::HomeSession;

/// A message without a fate.
pub(super) struct Message {
    /// Its number in the caller's eyes.
    pub(super) sequence: u64,
    /// Its number in the stream that it was put on last.
    pub(super) link_sequence: u64,
    /// When it was sent first.
    pub(super) sent_at: Instant,
    /// The request that it is, if it is one.
    pub(super) request: Option<Request>,
    /// A stream that has ended took it: it may have counted.
    pub(super) is_in_doubt: bool,
    /// This node does not take it, and another one may.
    pub(super) is_refused_here: bool,
}

/// A message as a request of a session, which can be sent again.
pub(super) struct Request {
    pub(super) session: Arc<HomeSession>,
    pub(super) number: u64,
    pub(super) counters: Vec<u32>,
    pub(super) amounts: Vec<i64>,
}

impl Request {
    /// The message is never sent again.
    pub(super) fn settle(&self) {
        self.session.settle(self.number);
    }
}

/// A message that came to another end than the one it was sent for.
struct Refused {
    sequence: u64,
    outcome: Outcome,
    /// Of one that counts in part: the counters whose adds do.
    counted: Vec<u32>,
}

/// All messages, by what is known of them.
#[derive(Default)]
pub(super) struct Messages {
    sent: u64,
    /// In the order of both their numbers.
    in_flight: VecDeque<Message>,
    /// Of messages that were refused; no more than were in flight when the first one was, since
    /// nothing is sent after that.
    refused: Vec<Refused>,
    is_over: bool,
}

impl Messages {
    /// Takes note of a message that was sent; its number.
    pub(super) fn push(&mut self, link_sequence: u64, request: Option<Request>) -> u64 {
        self.sent += 1;
        self.in_flight.push_back(Message {
            sequence: self.sent,
            link_sequence,
            sent_at: Instant::now(),
            request,
            is_in_doubt: false,
            is_refused_here: false,
        });
        self.sent
    }

    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// All messages up to this one have their fate.
    pub(super) fn acknowledged(&self) -> u64 {
        let oldest = self.in_flight.front();
        oldest.map_or(self.sent, |message| message.sequence - 1)
    }

    /// When the oldest message without a fate was sent first.
    pub(super) fn oldest_sent_at(&self) -> Option<Instant> {
        self.in_flight.front().map(|message| message.sent_at)
    }

    pub(super) fn each(&mut self) -> impl Iterator<Item = &mut Message> {
        self.in_flight.iter_mut()
    }

    /// Forgets messages without adds: on the next stream their names are introduced again.
    pub(super) fn forget_empty(&mut self) {
        self.in_flight.retain(|message| message.request.is_some());
    }

    /// Takes note that the stream has acknowledged all up to one of its numbers, except for those that
    /// it leaves to another.
    pub(super) fn acknowledge(&mut self, link_sequence: u64) {
        let acknowledged = self
            .in_flight
            .partition_point(|message| message.link_sequence <= link_sequence);
        let mut left: Vec<_> = Vec::new();
        for message in self.in_flight.drain(..acknowledged) {
            if message.is_refused_here {
                left.push(message);
            } else if let Some(request) = &message.request {
                request.settle();
            }
        }
        for message in left.into_iter().rev() {
            self.in_flight.push_front(message);
        }
    }

    /// Whether the present stream has nothing more to say of any message in flight.
    pub(super) fn are_refused_here(&self) -> bool {
        self.in_flight.iter().all(|message| message.is_refused_here)
    }

    /// The message with this number on the present stream.
    pub(super) fn find(&mut self, link_sequence: u64) -> Option<&mut Message> {
        let place = self.place(link_sequence)?;
        self.in_flight.get_mut(place)
    }

    /// Takes note of the fate of one message, which is not to be sent again; with the counters whose
    /// adds count, if it does in part.
    pub(super) fn refuse(&mut self, link_sequence: u64, outcome: Outcome, counted: Vec<u32>) {
        let place = self.place(link_sequence);
        if let Some(message) = place.and_then(|place| self.in_flight.remove(place)) {
            if let Some(request) = &message.request {
                request.settle();
            }
            self.refused.push(Refused {
                sequence: message.sequence,
                outcome,
                counted,
            });
        }
    }

    /// Nothing is sent any more, and what is in flight has come to what it is. Whether any message may
    /// have counted that was not acknowledged.
    pub(super) fn end(&mut self) -> bool {
        self.is_over = true;
        let requests = self.in_flight.iter();
        for request in requests.filter_map(|message| message.request.as_ref()) {
            request.settle();
        }
        let mut refused = self.refused.iter();
        self.in_flight.iter().any(|message| message.is_in_doubt)
            || refused.any(|refused| refused.outcome == Outcome::Indeterminate)
    }

    /// Whether all messages up to this one count.
    pub(super) fn all_count(&self, sequence: u64) -> bool {
        let mut refused = self.refused.iter();
        self.acknowledged() >= sequence && refused.all(|it| it.sequence > sequence)
    }

    pub(super) fn outcome(&self, sequence: u64) -> Outcome {
        if let Some(refused) = self.refused(sequence) {
            return refused.outcome;
        }
        let in_flight = self
            .in_flight
            .binary_search_by_key(&sequence, |message| message.sequence);
        match in_flight {
            Err(_) if sequence <= self.sent => Outcome::Acknowledged,
            Ok(_) | Err(_) if !self.is_over => Outcome::Pending,
            Ok(place) if self.in_flight[place].is_in_doubt => Outcome::Indeterminate,
            Ok(_) | Err(_) => Outcome::Refused,
        }
    }

    /// Of a message that counts in part: the counters whose adds do.
    pub(super) fn counted(&self, sequence: u64) -> Option<&[u32]> {
        let refused = self.refused(sequence)?;
        (refused.outcome == Outcome::InPart).then_some(&*refused.counted)
    }

    fn refused(&self, sequence: u64) -> Option<&Refused> {
        let mut refused = self.refused.iter();
        refused.find(|refused| refused.sequence == sequence)
    }

    fn place(&self, link_sequence: u64) -> Option<usize> {
        self.in_flight
            .binary_search_by_key(&link_sequence, |message| message.link_sequence)
            .ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{Book, Numbering};
    use Outcome::{Acknowledged, InPart, Indeterminate, Pending, Refused};

    /// Messages of one session with so many in flight, on a stream that began with them.
    fn in_flight(count: u64) -> (Arc<HomeSession>, Messages) {
        let session = Arc::new(HomeSession::new(vec![1], None, Book::new(64)));
        let mut messages = Messages::default();
        for link_sequence in 1..=count {
            let Numbering::Number(number) = session.book().number() else {
                panic!("the window has space");
            };
            let request = Request {
                session: Arc::clone(&session),
                number,
                counters: vec![0],
                amounts: Vec::new(),
            };
            messages.push(link_sequence, Some(request));
        }
        (session, messages)
    }

    #[test]
    fn what_is_acknowledged_is_settled_and_what_the_node_leaves_to_others_is_not() {
        let (session, mut messages) = in_flight(4);
        let left = messages.find(2).expect("it is in flight");
        left.is_refused_here = true;
        messages.acknowledge(3);
        assert_eq!((messages.in_flight(), messages.acknowledged()), (2, 1));
        assert_eq!(session.book().answered_below(), 2);
        let outcomes = [1, 2, 3, 4, 5].map(|sequence| messages.outcome(sequence));
        assert_eq!(
            outcomes,
            [Acknowledged, Pending, Acknowledged, Pending, Pending]
        );
        assert!(!messages.are_refused_here());
        messages.acknowledge(4);
        assert!(messages.are_refused_here());
    }

    #[test]
    fn at_the_end_each_message_has_one_fate() {
        let (session, mut messages) = in_flight(4);
        messages.refuse(2, InPart, vec![7]);
        messages.acknowledge(1);
        messages.find(3).expect("it is in flight").is_in_doubt = true;
        assert!(messages.end(), "one may have counted");
        let outcomes = [1, 2, 3, 4, 5].map(|sequence| messages.outcome(sequence));
        let expected = [Acknowledged, InPart, Indeterminate, Refused, Refused];
        assert_eq!(outcomes, expected);
        assert_eq!(messages.counted(2), Some(&[7][..]));
        assert_eq!(messages.counted(1), None);
        assert!(session.book().is_settled(), "nothing is sent again");
    }

    #[test]
    fn all_count_only_while_none_was_refused() {
        let (_session, mut messages) = in_flight(3);
        messages.refuse(2, Refused, Vec::new());
        messages.acknowledge(3);
        assert!(messages.all_count(1) && !messages.all_count(2) && !messages.all_count(3));
    }
}
