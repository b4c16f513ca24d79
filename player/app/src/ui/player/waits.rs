//! Why the viewer waits, once that takes long.

use url::Url;
use weir_engine::{ErrorView, Snapshot, State};

use crate::text;

/// Seconds until the window explains itself: most waits are over by then.
pub(super) const EXPLAIN: f64 = 3.0;
/// Points of the plot, a quarter of a second each, that say what comes in now.
const RECENT: usize = 8;

/// What is wrong with the network or the server, and that it is tried again.
pub(super) fn trouble(warning: &ErrorView) -> String {
    let what = text::sentence(&warning.what);
    if is_tried_again(&warning.code) { format!("{what} Trying again.") } else { what }
}

fn is_tried_again(code: &str) -> bool {
    is_silent(code) || matches!(code, "http_status" | "playlist_status" | "server_unknown" | "tls_failed")
}

fn is_silent(code: &str) -> bool {
    matches!(code, "server_silent" | "server_unreachable" | "connection_lost" | "body_truncated")
}

/// A sentence on what is waited for; none where nothing is known that would help.
pub(super) fn reason(snapshot: &Snapshot, url: &Url, waited: f64) -> Option<String> {
    // What is known to be wrong is said at once.
    if let Some(warning) =
        snapshot.warning.as_ref().filter(|warning| waited >= EXPLAIN || is_tried_again(&warning.code))
    {
        return Some(trouble(warning));
    }
    if waited < EXPLAIN {
        return None;
    }
    let recent = snapshot.plot.iter().rev().take(RECENT);
    let bits: u64 = recent.clone().map(|point| point.throughput.bps()).sum();
    let now = bits / recent.count().max(1) as u64;
    if now == 0 {
        let host = match (url.host_str(), url.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (Some(host), None) => host.to_owned(),
            _ => return None,
        };
        return Some(format!("Nothing comes from {host} at the moment."));
    }
    let loading = snapshot.video.rungs.get(snapshot.video.loading?)?;
    let slow = now < loading.bitrate.bps() && matches!(snapshot.state, State::Stalled | State::Starting);
    slow.then(|| {
        let now = text::bitrate(weir_abr::Bitrate::from_bps(now));
        format!("The network carries {now} now; {} takes {}.", loading.label, text::bitrate(loading.bitrate))
    })
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use weir_abr::Bitrate;
    use weir_engine::{PlotPoint, QualityView};

    use super::*;

    fn waiting(kbps: f64) -> Snapshot {
        let point = PlotPoint {
            at: Duration::from_secs(9),
            estimate: None,
            throughput: Bitrate::from_kbps(kbps),
            playing: None,
            loading: None,
            buffer: Duration::ZERO,
            stalled: true,
        };
        let mut snapshot = Snapshot { state: State::Stalled, ..Snapshot::default() };
        snapshot.plot = Arc::new([point; RECENT].into());
        snapshot.video.rungs =
            vec![QualityView { label: "360p".into(), bitrate: Bitrate::from_kbps(750.0), height: Some(360) }];
        snapshot.video.loading = Some(0);
        snapshot
    }

    #[test]
    fn a_long_wait_is_explained_and_a_short_one_is_not() {
        let url = Url::parse("http://a:81/x").unwrap();
        let why = |snapshot: &Snapshot| reason(snapshot, &url, 5.0);
        assert_eq!(reason(&waiting(0.0), &url, 1.0), None);
        assert_eq!(why(&waiting(0.0)).unwrap(), "Nothing comes from a:81 at the moment.");
        assert_eq!(
            why(&waiting(300.0)).unwrap(),
            "The network carries 300 kbit/s now; 360p takes 750 kbit/s."
        );
        assert_eq!(why(&waiting(900.0)), None, "it comes, and fast enough");
        let mut troubled = waiting(0.0);
        troubled.warning = Some(ErrorView {
            code: "http_status".into(),
            what: "http://a/1.ts answered with HTTP status 500".into(),
            advice: String::new(),
        });
        let said = "http://a/1.ts answered with HTTP status 500. Trying again.";
        assert_eq!(why(&troubled).unwrap(), said);
        assert_eq!(reason(&troubled, &url, 0.5).unwrap(), said, "at once");
    }
}
