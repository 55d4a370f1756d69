//! Listing counters: pages are fetched as they are needed, one in memory at a time.

use std::vec;

use wire::v1::{ListCountersRequest, ListCountersResponse};

use crate::{
    Client, CounterValue, Error,
    error::{Effect, Unexpected},
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
    page: vec::IntoIter<wire::v1::CounterValue>,
    rest: Rest,
}

/// What lies behind the page in memory.
#[derive(Debug)]
enum Rest {
    PagesFrom(String),
    Nothing,
}

impl List {
    pub(crate) fn new(client: Client, prefix: String) -> Self {
        let rest = Rest::PagesFrom(String::new());
        Self {
            client,
            prefix,
            page: Vec::new().into_iter(),
            rest,
        }
    }

    /// The next counter, or None at the end.
    ///
    /// # Errors
    /// See [`Error`]. The list can be read on after an error: the page is asked for again.
    pub async fn next(&mut self) -> Result<Option<CounterValue>, Error> {
        loop {
            if let Some(counter) = self.page.next() {
                return Ok(Some(counter.into()));
            }
            let Rest::PagesFrom(page_token) = &self.rest else {
                return Ok(None);
            };
            let message = ListCountersRequest {
                prefix: self.prefix.clone(),
                page_size: 0, // the node's default
                page_token: page_token.clone(),
            };
            let page = self
                .client
                .call(
                    "list",
                    Effect::Reads,
                    message,
                    |mut stub, request| async move { stub.list_counters(request).await },
                    |_, page| accept_page(page_token, page),
                )
                .await?;
            self.page = page.counters.into_iter();
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
