//! Any schedule of appends, syncs, snapshots and faults: what was acknowledged is there, what comes
//! back is a prefix of what was appended, and nothing is refused that nobody damaged.

use super::*;
use crate::memory::SyncFailure;
use crate::memory::random::SplitMix;

#[derive(Clone, Copy, Debug)]
enum Step {
    Append(usize),
    Sync,
    Seal,
    Rotate,
    BeginSnapshot,
    WriteSnapshot,
    FinishSnapshot,
    DropSnapshot,
    /// The process ends.
    Kill,
    /// The process dies within the operation after so many.
    KillAfter(u64),
    LosePower(u64),
    /// The sync after so many fails.
    FailSync(u64, SyncFailure),
    /// So many bytes fit on the disk.
    Limit(usize),
    Unlimit,
}

impl Step {
    /// Cheaper than a choice by proptest: thousands of schedules are worth it.
    fn new((kind, detail): (u8, u16)) -> Self {
        match kind {
            0..12 => Self::Append(usize::from(detail % 100)),
            12..18 => Self::Sync,
            18..20 => Self::Seal,
            20..22 => Self::Rotate,
            22..26 => Self::BeginSnapshot,
            26..30 => Self::WriteSnapshot,
            30..34 => Self::FinishSnapshot,
            34 => Self::DropSnapshot,
            35..38 => Self::Kill,
            38..44 => Self::KillAfter(u64::from(detail % 16)),
            44..48 => Self::LosePower(u64::from(detail)),
            48 => Self::FailSync(u64::from(detail % 8), SyncFailure::Dropped),
            49 => Self::FailSync(u64::from(detail % 8), SyncFailure::MarkedClean),
            50 => Self::Limit(usize::from(detail % 3_000)),
            _ => Self::Unlimit,
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    (0..53_u8, any::<u16>()).prop_map(Step::new)
}

/// A snapshot that is being written, and the payloads that it still wants.
type Writing = (SnapshotWriter<MemoryFiles>, std::vec::IntoIter<Payload>);

/// A log, and what it owes.
struct Run {
    disk: MemoryDisk,
    process: Option<Process>,
    /// In the order in which they were appended.
    appended: Vec<Payload>,
    /// How many of them were acknowledged.
    synced: usize,
    /// Makes each payload another one.
    count: u64,
}

/// What dies with a process.
struct Process {
    log: Log<MemoryFiles>,
    snapshot: Option<Writing>,
}

impl Run {
    fn new(page_bytes: usize) -> Self {
        Self {
            disk: MemoryDisk::new(page_bytes, 1),
            process: None,
            appended: Vec::new(),
            synced: 0,
            count: 0,
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Kill => self.kill(),
            Step::KillAfter(operations) => self.disk.kill_after(operations),
            Step::LosePower(seed) => self.lose_power(seed),
            Step::FailSync(syncs, failure) => self.disk.fail_sync_after(syncs, failure),
            Step::Limit(bytes) => self.disk.limit_bytes(Some(bytes)),
            Step::Unlimit => self.disk.limit_bytes(None),
            _ if self.process.is_none() => self.start(),
            Step::Append(bytes) => self.append(bytes),
            Step::Sync => self.sync(Log::sync),
            // One that does not fit is written with the next group.
            Step::Seal => drop(self.process().log.seal()),
            Step::Rotate => self.sync(|log| log.rotate().map(drop)),
            Step::BeginSnapshot => self.begin_snapshot(),
            Step::WriteSnapshot => self.with_snapshot(|mut snapshot| {
                if let Some(payload) = snapshot.1.next() {
                    snapshot.0.append(&payload)?;
                }
                Ok(Some(snapshot))
            }),
            Step::FinishSnapshot => self.with_snapshot(|(mut writer, payloads)| {
                for payload in payloads {
                    writer.append(&payload)?;
                }
                writer.finish()?;
                Ok(None)
            }),
            Step::DropSnapshot => self.with_snapshot(|_| Ok(None)),
        }
    }

    fn kill(&mut self) {
        self.disk.kill();
        self.process = None;
    }

    fn lose_power(&mut self, seed: u64) {
        let mut random = SplitMix::new(seed);
        self.disk.lose_power(&mut || random.next());
        self.process = None;
    }

    fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("started before this step")
    }

    fn append(&mut self, bytes: usize) {
        self.count += 1;
        let mut payload = self.count.to_le_bytes().to_vec();
        payload.resize(8 + bytes, 7);
        self.process().log.append(&payload).expect("only buffered");
        self.appended.push(payload);
    }

    /// Syncs everything. If that fails, the log has ended.
    fn sync(&mut self, sync: impl FnOnce(&mut Log<MemoryFiles>) -> Result<(), WriteError>) {
        let log = &mut self.process().log;
        match sync(log) {
            Ok(()) => self.synced = self.appended.len(),
            Err(WriteError::File(_)) => {
                for again in [log.sync(), log.append(b"more").map(drop)] {
                    assert!(matches!(again, Err(WriteError::Failed)), "{again:?}");
                }
                self.kill();
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn begin_snapshot(&mut self) {
        let mut begins = None;
        self.sync(|log| log.rotate().map(|below| begins = Some(below)));
        let payloads = self.appended.clone().into_iter();
        if let Some(below) = begins {
            let Process { log, snapshot } = self.process();
            let begun = log.snapshot(below);
            if let Ok(writer) = begun {
                *snapshot = Some((writer, payloads));
            }
        }
    }

    /// A snapshot that fails is dropped, and the log goes on.
    fn with_snapshot(
        &mut self,
        action: impl FnOnce(Writing) -> Result<Option<Writing>, WriteError>,
    ) {
        let snapshot = &mut self.process().snapshot;
        if let Some(writing) = snapshot.take() {
            *snapshot = action(writing).unwrap_or(None);
        }
    }

    /// Starts a process, which may die or fail while it recovers.
    fn start(&mut self) {
        let Ok((log, found)) = try_open(&self.disk) else {
            return self.kill();
        };
        let (count, owed) = (found.len(), self.synced);
        assert!(count >= owed, "{count} payloads of {owed} acknowledged");
        assert_eq!(found, self.appended[..count], "a prefix");
        // What recovery handed over is durable, and owed from now on.
        (self.appended, self.synced) = (found, count);
        let snapshot = None;
        self.process = Some(Process { log, snapshot });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn nothing_acknowledged_is_lost_and_nothing_refused_under_any_schedule(
        page_bytes in prop_oneof![Just(16_usize), Just(64), Just(512)],
        steps in prop::collection::vec(step(), 1..80),
        last in any::<u64>(),
    ) {
        let mut run = Run::new(page_bytes);
        for step in steps {
            run.step(step);
        }
        run.disk.limit_bytes(None);
        run.lose_power(last);
        while run.process.is_none() {
            run.start();
        }
    }
}
