//! Benchmarks of what happens millions of times a second, or to millions of counters: a subject a
//! file. They show where time goes and what a change costs; they promise nothing.

mod add;
mod audit;
mod commit;
mod interval;
mod log;
mod value;
mod wire;

fn main() {
    let mut criterion = benches::criterion();
    add::all(&mut criterion);
    audit::all(&mut criterion);
    commit::all(&mut criterion);
    interval::all(&mut criterion);
    value::all(&mut criterion);
    wire::all(&mut criterion);
    log::all(&mut criterion);
    criterion.final_summary();
}
