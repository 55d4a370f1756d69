//! Reads: values, the token of what was read, and how old it may be.

use std::time::Duration;

use wire::v1::{BatchGetRequest, GetRequest};

use crate::{
    Changes, Client, CounterValue, Error, LaneAge, List, Token, Watch, WatchOptions,
    arguments::{check_batch, check_bytes, check_name, check_token},
    error::{Effect, Unexpected},
};

/// How a read reads. The default waits for nothing, and asks for nothing but values.
///
/// ```
/// use tally_client::{ReadOptions, Token};
///
/// let token: Token = "00ff10".parse()?;
/// let options = ReadOptions { after: token, ..ReadOptions::default() };
/// assert!(!options.lane_ages);
/// # Ok::<(), tally_client::ParseTokenError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct ReadOptions {
    /// The read waits until the node that answers knows what this token stands for, of the counters
    /// that it reads; an empty token waits for nothing.
    pub after: Token,
    /// Whether the answer tells how old it may be, lane by lane. It costs the node a little.
    pub lane_ages: bool,
}

/// What a read has read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// The values: of a read one for each name, in the order of the names; of a
    /// [watch](crate::Changes) those that have changed.
    pub values: Vec<CounterValue>,
    /// A read of these counters with it, on any node, reads at least what was read here: a counter
    /// that is only incremented does not go down. Empty when the node is of a version that gives
    /// none.
    pub token: Token,
    /// Where it was asked for: how old the values may be, for each replica that has added to what
    /// they are made of, and for the connected peers of the node.
    pub lane_ages: Vec<LaneAge>,
}

impl Client {
    /// Reads a counter, as the node that answers knows it. Never waits for another node.
    ///
    /// # Errors
    /// See [`Error`].
    ///
    /// ```no_run
    /// # async fn example(client: tally_client::Client) -> Result<(), tally_client::Error> {
    /// println!("{}", client.get("likes/post-1").await?.value);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn get(&self, counter: &str) -> Result<CounterValue, Error> {
        self.get_after(counter, &Token::default()).await
    }

    /// Reads a counter, and waits until the node that answers knows what `token` stands for: the
    /// add, or the read, that gave it.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::is_retryable`] when the add did not arrive before the deadline. A
    /// node is waited for no longer than
    /// [`read_attempt_deadline`](crate::Options::read_attempt_deadline), and then the next one is
    /// asked.
    ///
    /// ```no_run
    /// # async fn example(client: tally_client::Client) -> Result<(), tally_client::Error> {
    /// let token = client.add("likes/post-1", 1).await?;
    /// println!("{}", client.get_after("likes/post-1", &token).await?.value); // sees the add
    /// # Ok(())
    /// # }
    /// ```
    pub async fn get_after(&self, counter: &str, token: &Token) -> Result<CounterValue, Error> {
        let mut values = self.batch_get_after([counter], token).await?;
        Ok(values
            .pop()
            .expect("batch_get_after gives one value for each name"))
    }

    /// Reads 1 to [`BATCH_ITEMS_MAX`](crate::BATCH_ITEMS_MAX) counters, whose names have together
    /// at most [`MESSAGE_BYTES_MAX`](crate::MESSAGE_BYTES_MAX); the values are in the order of the
    /// names, and were read one after the other, not at one instant.
    ///
    /// # Errors
    /// See [`Error`].
    ///
    /// ```no_run
    /// # async fn example(client: tally_client::Client) -> Result<(), tally_client::Error> {
    /// let values = client.batch_get(["likes/1", "likes/2"]).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn batch_get<N: Into<String>>(
        &self,
        counters: impl IntoIterator<Item = N>,
    ) -> Result<Vec<CounterValue>, Error> {
        self.batch_get_after(counters, &Token::default()).await
    }

    /// Reads several counters, and waits until the node that answers knows what `token` stands for.
    ///
    /// # Errors
    /// As for [`Client::get_after`].
    pub async fn batch_get_after<N: Into<String>>(
        &self,
        counters: impl IntoIterator<Item = N>,
        token: &Token,
    ) -> Result<Vec<CounterValue>, Error> {
        let options = ReadOptions {
            after: token.clone(),
            ..ReadOptions::default()
        };
        Ok(self.read(counters, &options).await?.values)
    }

    /// Reads counters as [`Client::batch_get`] does, and gives the token of what was read, and where
    /// it is asked for how old that may be.
    ///
    /// # Errors
    /// As for [`Client::get_after`]. [`Error::is_invalid`] when the token is of another cluster;
    /// [`Error::reason`] is `"INCARNATION_CONFLICT"` where the node that answers can never know what
    /// it stands for.
    ///
    /// ```no_run
    /// # async fn example(client: tally_client::Client) -> Result<(), tally_client::Error> {
    /// use tally_client::ReadOptions;
    ///
    /// let options = ReadOptions { lane_ages: true, ..ReadOptions::default() };
    /// let bill = client.read(["calls/42", "bytes/42"], &options).await?;
    /// for age in &bill.lane_ages {
    ///     println!("complete from {} until {:?} ago", age.replica_id, age.complete);
    /// }
    /// // Reads at least the same, wherever.
    /// let options = ReadOptions { after: bill.token, ..options };
    /// let later = client.read(["calls/42", "bytes/42"], &options).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn read<N: Into<String>>(
        &self,
        counters: impl IntoIterator<Item = N>,
        options: &ReadOptions,
    ) -> Result<Read, Error> {
        let mut counters: Vec<String> = counters.into_iter().map(Into::into).collect();
        check_batch(counters.len())?;
        counters
            .iter()
            .try_for_each(|counter| check_name(counter))?;
        check_token(&options.after)?;
        let effect = effect_after(&options.after);
        let (asked, token) = (counters.len(), options.after.as_bytes().to_vec());
        let return_lane_ages = options.lane_ages;
        if asked == 1 {
            let message = GetRequest {
                counter: counters.remove(0),
                token,
                return_lane_ages,
            };
            return self
                .call(
                    "get",
                    effect,
                    message,
                    |mut stub, request| async move { stub.get(request).await },
                    |_, answer| {
                        let values = answer.counter.into_iter().collect();
                        accept(1, values, answer.token, answer.lane_ages)
                    },
                )
                .await;
        }
        let message = BatchGetRequest {
            counters,
            token,
            return_lane_ages,
        };
        check_bytes(&message)?;
        self.call(
            "batch get",
            effect,
            message,
            |mut stub, request| async move { stub.batch_get(request).await },
            |_, answer| accept(asked, answer.counters, answer.token, answer.lane_ages),
        )
        .await
    }

    /// Lists the counters whose names begin with `prefix` (empty: all), in the order of their
    /// bytes, a page at a time. Nothing is asked before [`List::next`]; see there for errors, and
    /// [`List`] for an example.
    #[must_use]
    pub fn list(&self, prefix: &str) -> List {
        List::new(self.clone(), prefix.to_owned(), None)
    }

    /// Lists as [`Client::list`] does; every page waits for the token, and for all that the pages
    /// before it have read. So a list that goes on at another node, when one fails, lacks nothing.
    #[must_use]
    pub fn list_after(&self, prefix: &str, options: &ReadOptions) -> List {
        List::new(self.clone(), prefix.to_owned(), Some(options.clone()))
    }

    /// Watches a counter: its value at once, and then whenever it has changed, at most once in
    /// `interval_min` (10 ms to 60 s; zero lets the node choose, 100 ms). Nothing is asked before
    /// [`Watch::next`]; see there for errors, and [`Watch`] for an example.
    #[must_use]
    pub fn watch(&self, counter: &str, interval_min: Duration) -> Watch {
        Watch::new(self.clone(), counter.to_owned(), interval_min)
    }

    /// Watches 1 to [`BATCH_ITEMS_MAX`](crate::BATCH_ITEMS_MAX) counters: all values at once, and
    /// then those that have changed. Nothing is asked before [`Changes::next`]; see there for
    /// errors, and [`Changes`] for an example.
    #[must_use]
    pub fn watch_counters<N: Into<String>>(
        &self,
        counters: impl IntoIterator<Item = N>,
        options: &WatchOptions,
    ) -> Changes {
        let counters = counters.into_iter().map(Into::into).collect();
        Changes::of_counters(self.clone(), counters, options)
    }

    /// Watches all counters whose names begin with `prefix` (empty: all), those that are added later
    /// included: 10,000 at most. Otherwise as [`Client::watch_counters`].
    #[must_use]
    pub fn watch_prefix(&self, prefix: &str, options: &WatchOptions) -> Changes {
        Changes::of_prefix(self.clone(), prefix.to_owned(), options)
    }
}

/// What a read with this token does.
pub(crate) fn effect_after(token: &Token) -> Effect {
    if token.as_bytes().is_empty() {
        Effect::Reads
    } else {
        Effect::ReadsAfterToken
    }
}

/// One value for each name that was asked.
fn accept(
    asked: usize,
    values: Vec<wire::v1::CounterValue>,
    token: Vec<u8>,
    lane_ages: Vec<wire::v1::LaneAge>,
) -> Result<Read, Unexpected> {
    if values.len() != asked {
        return Err(Unexpected {
            expected: format!("{asked} value{}", if asked == 1 { "" } else { "s" }),
            found: values.len().to_string(),
        });
    }
    Ok(Read {
        values: values.into_iter().map(CounterValue::from).collect(),
        token: Token::from_bytes(token),
        lane_ages: lane_ages.into_iter().map(LaneAge::from).collect(),
    })
}
