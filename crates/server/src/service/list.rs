//! Pages of the list of counters.

use crdt_core::CounterName;
use tonic::Status;
use wire::v1::{ListCountersRequest, ListCountersResponse};

use super::limits::{PAGE_BYTES_MAX, PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX};
use super::status;
use super::value::{counter_value, lane_ages};
use crate::node::Node;

/// A page that is asked for, within its bounds.
pub(super) struct Page<'a> {
    prefix: &'a str,
    after: Option<&'a str>,
    size: usize,
    return_lane_ages: bool,
}

impl<'a> Page<'a> {
    /// The page of a request.
    pub(super) fn parse(request: &'a ListCountersRequest) -> Result<Self, Status> {
        let size = match request.page_size {
            0 => PAGE_SIZE_DEFAULT,
            size @ 1..=PAGE_SIZE_MAX => size,
            size => {
                let bound = PAGE_SIZE_MAX as usize;
                return Err(status::page("page_size", size as usize, bound, "counters"));
            }
        } as usize;
        let ListCountersRequest {
            prefix, page_token, ..
        } = request;
        for (field, text) in [("prefix", prefix), ("page_token", page_token)] {
            check_bytes(field, text)?;
        }
        Ok(Self {
            prefix,
            after: (!page_token.is_empty()).then_some(page_token.as_str()),
            size,
            return_lane_ages: request.return_lane_ages,
        })
    }
}

/// A text that is compared with names is no longer than they are.
pub(super) fn check_bytes(field: &'static str, text: &str) -> Result<(), Status> {
    let bound = CounterName::BYTES_MAX;
    if text.len() > bound {
        return Err(status::page(field, text.len(), bound, "bytes"));
    }
    Ok(())
}

/// Reads a page.
pub(super) fn read(node: &Node, asked: &Page<'_>) -> ListCountersResponse {
    let (mut page, reading) = node.list(asked.prefix, asked.after, asked.size);
    let fitting = count_fitting(&page);
    let has_more = page.len() == asked.size || fitting < page.len();
    page.truncate(fitting);
    let last = page.last().filter(|_| has_more);
    let last = last.map(|(name, _)| name.as_str().to_owned());
    let values = page.iter();
    ListCountersResponse {
        counters: values
            .map(|(name, sum)| counter_value(name, *sum))
            .collect(),
        next_page_token: last.unwrap_or_default(),
        token: node.token_of(&reading).to_bytes(),
        lane_ages: lane_ages(node, &reading, asked.return_lane_ages),
    }
}

/// How many counters of a page fit one message; at least one does.
fn count_fitting(page: &[(CounterName, i128)]) -> usize {
    /// A value, a flag, and what protobuf puts around them and the name, at most.
    const OVERHEAD_BYTES: usize = 24;
    let mut bytes = 0;
    page.iter()
        .take_while(|(name, _)| {
            bytes += name.as_str().len() + OVERHEAD_BYTES;
            bytes <= PAGE_BYTES_MAX
        })
        .count()
}
