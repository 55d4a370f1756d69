//! When to stop: SIGTERM from an operator's tools, SIGINT from a terminal.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// Two futures: the first resolves at the first SIGTERM or SIGINT, which asks for an orderly stop,
/// the second at the second one, which asks for an end at once.
///
/// # Errors
///
/// When the handlers cannot be installed.
pub fn signals() -> std::io::Result<(impl Future<Output = ()>, impl Future<Output = ()>)> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (first, first_came) = oneshot::channel::<()>();
    let (second, second_came) = oneshot::channel::<()>();
    tokio::spawn(async move {
        for came in [first, second] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            // Nobody listens when the process ends already.
            let _ = came.send(());
        }
    });
    Ok((came(first_came), came(second_came)))
}

async fn came(signal: oneshot::Receiver<()>) {
    // The sender is gone when the runtime is, and then everything ends.
    let _ = signal.await;
}
