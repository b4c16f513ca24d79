//! When a session without a window ends by itself.

use std::{future::pending, time::Duration};

use tokio::time::timeout;

/// Ends when it is time to stop: after `after`, or, without a window to close, on SIGINT or SIGTERM.
pub(super) async fn stop(after: Option<Duration>, on_signals: bool) {
    let signals = async {
        if on_signals {
            signal().await;
        } else {
            pending::<()>().await;
        }
    };
    match after {
        Some(after) => {
            // A time-out is what is waited for here, and a signal ends it early.
            let _ = timeout(after, signals).await;
        }
        None => signals.await,
    }
}

#[cfg(unix)]
async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        (Ok(mut interrupt), Ok(mut terminate)) => {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        }
        // Without handlers the signals end the process as they always did.
        _ => pending().await,
    }
}

#[cfg(not(unix))]
async fn signal() {
    if tokio::signal::ctrl_c().await.is_err() {
        pending().await
    }
}
