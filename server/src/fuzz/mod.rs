//! What fuzz targets share: inputs made wrong where it hurts, and the marks that every input has to pass.
//!
//! A target runs a fixed number of inputs, the same every time; with `WEIR_FUZZ_SECONDS` it goes on with others for that
//! long. No input may panic, take more than a second of processor time, or make more memory than its target allows.

mod alloc;
#[allow(unreachable_pub, reason = "shared with the integration tests")]
#[path = "../../tests/faults/boxes.rs"]
pub(crate) mod boxes;
#[allow(unreachable_pub, reason = "shared with the integration tests")]
#[path = "../../tests/faults/mutate.rs"]
mod mutate;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

pub(crate) use mutate::{Random, mutate, odd, pick};

/// Longest that one input may keep the processor.
const LONGEST: Duration = Duration::from_secs(1);
/// Memory that an input may take beyond what goes with its size, in bytes.
const CONSTANT: usize = 64 << 10;

/// Calls `target` with the inputs that `make` makes: `times` of them, or as many as `WEIR_FUZZ_SECONDS` hold. It returns
/// how many bytes it may have taken for good reasons beyond four times its input.
pub(crate) fn fuzz(
    times: u64,
    mut make: impl FnMut(&mut Random) -> Vec<u8>,
    mut target: impl FnMut(&[u8]) -> usize,
) {
    let seconds: Option<u64> = std::env::var("WEIR_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    let (begun, mut seed) = (Instant::now(), 0_u64);
    while match seconds {
        Some(seconds) => begun.elapsed() < Duration::from_secs(seconds),
        None => seed < times,
    } {
        seed += 1;
        let bytes = make(&mut Random::new(seed));
        let before = on_processor();
        let (outcome, peak) = alloc::peak(|| catch_unwind(AssertUnwindSafe(|| target(&bytes))));
        let took = on_processor().saturating_sub(before);
        let told = || {
            let shown: String = bytes.iter().take(600).map(|byte| format!("{byte:02x}")).collect();
            format!("input {seed} of {} bytes: {shown}", bytes.len())
        };
        let Ok(reasonable) = outcome else { panic!("{}", told()) };
        let most = 4 * bytes.len() + CONSTANT + reasonable;
        assert!(peak <= most, "{peak} bytes of memory, at most {most} for {}", told());
        assert!(took < LONGEST, "{took:?} for {}", told());
    }
    eprintln!("{seed} inputs in {:.1} s", begun.elapsed().as_secs_f64());
}

/// How long this thread has been on a processor, however busy the machine is.
fn on_processor() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0))
}
