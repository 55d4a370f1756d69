//! The dictionary of an ingest stream: names, the numbers that stand for them, and which of them the
//! present stream has been told.

use std::{collections::HashMap, sync::Arc};

use super::CounterIndex;
use crate::{DICTIONARY_NAMES_MAX, Error, arguments::check_name, options::INTRODUCED_BYTES_MAX};

/// What protobuf puts before a name, at most: a tag of 1 byte and a length of 2.
const NAME_FRAME_BYTES_MAX: usize = 3;

#[derive(Default)]
pub(super) struct Names {
    indices: HashMap<Arc<str>, CounterIndex>,
    all: Vec<Arc<str>>,
    introduced: usize,
}

impl Names {
    /// The index of a name, which is entered if it is new.
    pub(super) fn register(&mut self, counter: &str) -> Result<CounterIndex, Error> {
        if let Some(index) = self.indices.get(counter) {
            return Ok(*index);
        }
        check_name(counter)?;
        let names = self.all.len();
        if names >= DICTIONARY_NAMES_MAX {
            return Err(Error::argument(format!(
                "a stream's dictionary has at most {DICTIONARY_NAMES_MAX} counters, and it is \
                 full; open another stream"
            )));
        }
        let index = CounterIndex(u32::try_from(names).expect("the dictionary's bound fits u32"));
        let name: Arc<str> = counter.into();
        self.all.push(Arc::clone(&name));
        self.indices.insert(name, index);
        Ok(index)
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// A new stream knows none of them.
    pub(super) fn forget_introduced(&mut self) {
        self.introduced = 0;
    }

    /// Whether one message can introduce all that are not introduced yet.
    pub(super) fn fit_one_message(&self) -> bool {
        self.fitting() == self.all.len() - self.introduced
    }

    /// As many names as one message introduces, of those not introduced yet.
    pub(super) fn introduce(&mut self) -> Vec<String> {
        let fitting = self.fitting();
        let names = &self.all[self.introduced..self.introduced + fitting];
        self.introduced += fitting;
        names.iter().map(ToString::to_string).collect()
    }

    fn fitting(&self) -> usize {
        let mut bytes = 0;
        let fitting = self.all[self.introduced..].iter().take_while(|name| {
            bytes += name.len() + NAME_FRAME_BYTES_MAX;
            bytes <= INTRODUCED_BYTES_MAX
        });
        fitting.count()
    }
}
