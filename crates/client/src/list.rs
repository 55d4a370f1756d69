//! Listing counters: pages are fetched as they are needed, one in memory at a time.

use std::vec;

use wire::v1::{ListCountersRequest, ListCountersResponse};

use crate::{
    Client, CounterValue, Error, LaneAge, ReadOptions, Token, arguments::check_token,
    error::Unexpected, read::effect_after,
};

/// Counters in the order of their names' bytes. A counter added while the list is read may be
/// missed; none is returned twice.
///
/// ```no_run
/// # async fn example(client: tally_client::Client) -> Result<(), tally_client::Error> {
/// let mut counters = client.list("likes/");
/// while let Some(counter) = counters.next().await? {
///     println!("{} {}", counter.counter, counter.value);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct List {
    client: Client,
    prefix: String,
    /// Where pages wait for a token: the first for this one, each other for that of the one before.
    after: Option<ReadOptions>,
    page: vec::IntoIter<wire::v1::CounterValue>,
    token: Token,
    lane_ages: Vec<LaneAge>,
    rest: Rest,
}

/// What lies behind the page in memory.
#[derive(Debug)]
enum Rest {
    PagesFrom(String),
    Nothing,
}

impl List {
    pub(crate) fn new(client: Client, prefix: String, after: Option<ReadOptions>) -> Self {
        let rest = Rest::PagesFrom(String::new());
        Self {
            client,
            prefix,
            after,
            page: Vec::new().into_iter(),
            token: Token::default(),
            lane_ages: Vec::new(),
            rest,
        }
    }

    /// The token of the page that [`next`](List::next) gives counters of: a read of any counter with
    /// this prefix reads with it at least what the page was made of. Empty before the first page.
    #[must_use]
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// How old that page may be, where [`ReadOptions::lane_ages`] asks for it.
    #[must_use]
    pub fn lane_ages(&self) -> &[LaneAge] {
        &self.lane_ages
    }

    /// The next counter, or None at the end.
    ///
    /// # Errors
    /// See [`Error`]; after [`Client::list_after`] also those of [`Client::get_after`]. The list can
    /// be read on after an error: the page is asked for again.
    pub async fn next(&mut self) -> Result<Option<CounterValue>, Error> {
        loop {
            if let Some(counter) = self.page.next() {
                return Ok(Some(counter.into()));
            }
            let Rest::PagesFrom(page_token) = &self.rest else {
                return Ok(None);
            };
            let none = Token::default();
            let after = match &self.after {
                None => &none,
                Some(options) if self.token == none => &options.after,
                Some(_) => &self.token,
            };
            check_token(after)?;
            let message = ListCountersRequest {
                prefix: self.prefix.clone(),
                page_size: 0, // the node's default
                page_token: page_token.clone(),
                token: after.as_bytes().to_vec(),
                return_lane_ages: self.after.as_ref().is_some_and(|it| it.lane_ages),
            };
            let page = self
                .client
                .call(
                    "list",
                    effect_after(after),
                    message,
                    |mut stub, request| async move { stub.list_counters(request).await },
                    |_, page| accept_page(page_token, page),
                )
                .await?;
            self.page = page.counters.into_iter();
            self.token = Token::from_bytes(page.token);
            self.lane_ages = page.lane_ages.into_iter().map(LaneAge::from).collect();
            self.rest = match page.next_page_token {
                end if end.is_empty() => Rest::Nothing,
                next => Rest::PagesFrom(next),
            };
        }
    }
}

/// A page that is followed by itself would make a list without end.
fn accept_page(
    asked: &str,
    page: ListCountersResponse,
) -> Result<ListCountersResponse, Unexpected> {
    if asked.is_empty() || page.next_page_token != asked {
        return Ok(page);
    }
    Err(Unexpected {
        expected: "another page's token".to_owned(),
        found: format!("{asked:?} again"),
    })
}
