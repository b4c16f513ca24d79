//! What the estimate does with transfers as they come.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::time::Duration;

use weir_abr::{
    Bitrate,
    estimate::{
        Bandwidth, Chunked, DualEwma, ErrorWindow, Estimator, Harmonic, Kind, LastFew, Percentile, Sample,
    },
    planner::FetchId,
};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn sample(kbps: f64, seconds: f64) -> Sample {
    Sample {
        bytes: (kbps * 125.0 * seconds) as u64,
        busy: Duration::from_secs_f64(seconds),
        ..Sample::default()
    }
}

/// One transfer of `bytes`, the first byte after `ttfb`, the last `took` after that.
fn transfer(bandwidth: &mut Bandwidth, id: u64, at: u64, ttfb: u64, took: u64, bytes: u64) {
    let id = FetchId(id);
    bandwidth.started(id, ms(at));
    bandwidth.first_byte(id, ms(at + ttfb));
    bandwidth.progress(id, bytes, ms(at + ttfb + took));
    bandwidth.ended(id, ms(at + ttfb + took));
}

fn kbps(bandwidth: &Bandwidth, at: u64) -> f64 {
    bandwidth.estimate(ms(at)).unwrap().mean.kbps()
}

#[test]
fn time_to_the_first_byte_is_not_part_of_the_rate() {
    let mut bandwidth = Bandwidth::new(Kind::default());
    transfer(&mut bandwidth, 0, 0, 900, 1000, 250_000);
    let estimate = bandwidth.estimate(ms(2000)).unwrap();
    assert!((estimate.mean.kbps() - 2000.0).abs() < 1.0, "{estimate:?}");
    assert!((estimate.ttfb.as_secs_f64() - 0.9).abs() < 1e-6);
    assert!((estimate.fetch_time(250_000).as_secs_f64() - 1.9).abs() < 0.01);
}

#[test]
fn a_transfer_that_stands_still_lowers_the_estimate() {
    let mut bandwidth = Bandwidth::new(Kind::default());
    transfer(&mut bandwidth, 0, 0, 20, 4000, 2_500_000);
    assert!((kbps(&bandwidth, 4100) - 5000.0).abs() < 10.0);
    bandwidth.started(FetchId(1), ms(5000));
    bandwidth.first_byte(FetchId(1), ms(5020));
    bandwidth.progress(FetchId(1), 50_000, ms(5100));
    assert!(kbps(&bandwidth, 9000) < 3500.0, "{}", kbps(&bandwidth, 9000));
    assert!(kbps(&bandwidth, 15_000) < 1500.0);
}

#[test]
fn a_request_that_is_never_answered_lowers_the_estimate() {
    let mut bandwidth = Bandwidth::new(Kind::default());
    transfer(&mut bandwidth, 0, 0, 20, 4000, 2_500_000);
    bandwidth.started(FetchId(1), ms(5000));
    assert!(kbps(&bandwidth, 5100) > 4900.0, "an answer may take a moment");
    assert!(kbps(&bandwidth, 10_000) < 3000.0);
}

#[test]
fn parallel_transfers_are_measured_together() {
    let mut bandwidth = Bandwidth::new(Kind::default());
    // Two transfers share 4000 kbit/s for 2 s.
    bandwidth.started(FetchId(0), ms(0));
    bandwidth.started(FetchId(1), ms(0));
    bandwidth.first_byte(FetchId(0), ms(20));
    bandwidth.first_byte(FetchId(1), ms(20));
    for id in [0, 1] {
        bandwidth.progress(FetchId(id), 500_000, ms(2020));
    }
    bandwidth.ended(FetchId(0), ms(2020));
    bandwidth.ended(FetchId(1), ms(2020));
    assert!((kbps(&bandwidth, 2100) - 4000.0).abs() < 20.0, "{}", kbps(&bandwidth, 2100));
}

#[test]
fn a_short_transfer_that_ends_beside_a_long_one_does_not_split_its_measurement() {
    let measured = |short_ends: u64| {
        let mut bandwidth = Bandwidth::new(Kind::PacedEwma { fast: 3.0, slow: 8.0, least: 2.0 });
        transfer(&mut bandwidth, 0, 0, 20, 4000, 2_500_000);
        let (long, short) = (FetchId(1), FetchId(2));
        for id in [long, short] {
            bandwidth.started(id, ms(5000));
            bandwidth.first_byte(id, ms(5020));
        }
        bandwidth.progress(long, 12_000, ms(5020 + short_ends));
        bandwidth.progress(short, 12_000, ms(5020 + short_ends));
        bandwidth.ended(short, ms(5020 + short_ends));
        bandwidth.progress(long, 200_000, ms(6020));
        bandwidth.ended(long, ms(6020));
        kbps(&bandwidth, 6020)
    };
    // A hair less or more of time, and nothing else changes: so does the estimate.
    assert!((measured(49) / measured(51) - 1.0).abs() < 0.001, "{} {}", measured(49), measured(51));
}

#[test]
fn tiny_transfers_are_merged_until_they_say_something() {
    let mut bandwidth = Bandwidth::new(Kind::default());
    for id in 0..3 {
        transfer(&mut bandwidth, id, id * 100, 20, 4, 1000);
    }
    assert!(bandwidth.estimate(ms(400)).is_none(), "12 ms and 3 kB are no sample");
    for id in 3..30 {
        transfer(&mut bandwidth, id, id * 100, 20, 4, 1000);
    }
    assert!((kbps(&bandwidth, 4000) - 2000.0).abs() < 50.0, "{}", kbps(&bandwidth, 4000));
}

#[test]
fn segments_that_come_whole_with_their_heads_are_measured() {
    let mut bandwidth = Bandwidth::new(Kind::default());
    for id in 0..3 {
        let at = Duration::from_millis(10 * id);
        bandwidth.started(FetchId(id), at);
        bandwidth.first_byte(FetchId(id), at + Duration::from_micros(500));
        bandwidth.progress(FetchId(id), 400_000, at + Duration::from_micros(1200));
        bandwidth.ended(FetchId(id), at + Duration::from_micros(1300));
    }
    assert!(kbps(&bandwidth, 40) > 20_000.0, "a machine next door is fast");
}

#[test]
fn one_answer_from_a_cache_is_left_out_but_a_network_that_got_fast_is_not() {
    let mut bandwidth = Bandwidth::new(Kind::default());
    transfer(&mut bandwidth, 0, 0, 40, 2000, 500_000);
    transfer(&mut bandwidth, 1, 3000, 1, 60, 1_500_000);
    assert!((kbps(&bandwidth, 4000) - 2000.0).abs() < 20.0);
    for id in 2..20 {
        transfer(&mut bandwidth, id, id * 2000, 1, 60, 1_500_000);
    }
    assert!(kbps(&bandwidth, 50_000) > 8000.0, "{}", kbps(&bandwidth, 50_000));
}

#[test]
fn a_memory_is_used_until_something_is_measured_and_fades_with_age() {
    let rate = Bitrate::from_kbps(8000.0);
    let mut fresh = Bandwidth::new(Kind::default());
    fresh.remember(rate, ms(60_000));
    assert!((kbps(&fresh, 0) - 8000.0).abs() < 1.0 && !fresh.is_measured());
    let mut old = Bandwidth::new(Kind::default());
    old.remember(rate, Duration::from_secs(4 * 3600));
    assert!(kbps(&old, 0) < 4000.0);
    let mut ancient = Bandwidth::new(Kind::default());
    ancient.remember(rate, Duration::from_secs(48 * 3600));
    assert!(ancient.estimate(ms(0)).is_none());
    transfer(&mut fresh, 0, 0, 20, 4000, 500_000);
    assert!(kbps(&fresh, 5000) < 3000.0, "{}", kbps(&fresh, 5000));
    let memory = fresh.memory().unwrap();
    assert!(memory.ttfb_ms > 19.0 && memory.rate.kbps() < 3000.0);
}

#[test]
fn quantiles_learn_how_steady_the_network_is() {
    let mut steady = ErrorWindow::default();
    let before = steady.quantiles();
    for _ in 0..24 {
        steady.add(1000.0, 1000.0);
    }
    let after = steady.quantiles();
    assert!(before[0] < 0.8 && before[4] > 1.1, "{before:?}");
    assert!((after[0] - 1.0).abs() < 1e-9 && (after[4] - 1.0).abs() < 1e-9, "{after:?}");
    let mut shaky = ErrorWindow::default();
    for at in 0..24 {
        shaky.add(1000.0, if at % 2 == 0 { 300.0 } else { 2000.0 });
    }
    assert!(shaky.quantiles()[0] < 0.35 && shaky.quantiles()[4] > 1.9);
    assert!(shaky.quantiles().is_sorted());
}

#[test]
fn the_dual_average_falls_faster_than_it_rises() {
    let mut falling = DualEwma::new(3.0, 8.0);
    let mut rising = DualEwma::new(3.0, 8.0);
    for _ in 0..10 {
        falling.add(&sample(4000.0, 1.0));
        rising.add(&sample(1000.0, 1.0));
    }
    for _ in 0..3 {
        falling.add(&sample(1000.0, 1.0));
        rising.add(&sample(4000.0, 1.0));
    }
    let (fell, rose) = (falling.bps(None).unwrap() / 1e6, rising.bps(None).unwrap() / 1e6);
    assert!(4.0 - fell > rose - 1.0, "{fell} {rose}");
}

#[test]
fn a_paced_average_notices_a_fast_link_within_a_few_short_downloads() {
    let (mut plain, mut paced) = (DualEwma::new(3.0, 8.0), DualEwma::paced(3.0, 8.0, 2.0));
    for estimator in [&mut plain, &mut paced] {
        for _ in 0..5 {
            estimator.add(&sample(800.0, 4.0));
        }
        for _ in 0..4 {
            estimator.add(&sample(8000.0, 0.3));
        }
    }
    assert!(paced.bps(None).unwrap() > 1.8 * plain.bps(None).unwrap());
}

#[test]
fn the_harmonic_mean_shrugs_off_a_peak() {
    let mut harmonic = Harmonic::new(5);
    for kbps in [1000.0, 1000.0, 1000.0, 1000.0, 100_000.0] {
        harmonic.add(&sample(kbps, 1.0));
    }
    assert!((1000.0..1300.0).contains(&(harmonic.bps(None).unwrap() / 1000.0)));
}

#[test]
fn the_percentile_weighs_by_the_root_of_the_size_and_forgets() {
    let mut percentile = Percentile::new(0.5, 2000.0);
    for _ in 0..10 {
        percentile.add(&sample(1000.0, 0.5));
    }
    percentile.add(&sample(9000.0, 0.1));
    assert!((percentile.bps(None).unwrap() / 1000.0 - 1000.0).abs() < 20.0);
    // A 4 MB sample alone fills the window.
    percentile.add(&Sample { bytes: 4_000_000, busy: Duration::from_secs(4), ..Sample::default() });
    assert!((percentile.bps(None).unwrap() / 1000.0 - 8000.0).abs() < 1.0);
}

#[test]
fn the_last_few_take_the_lower_of_last_and_mean() {
    let mut last = LastFew::new(3);
    for kbps in [1000.0, 2000.0, 6000.0] {
        last.add(&sample(kbps, 1.0));
    }
    assert!((last.bps(None).unwrap() / 1000.0 - 3000.0).abs() < 5.0);
    last.add(&sample(500.0, 1.0));
    assert!((last.bps(None).unwrap() / 1000.0 - 500.0).abs() < 1.0);
}

#[test]
fn chunks_are_measured_without_the_encoders_pauses() {
    let mut chunked = Chunked::new();
    let mut now = Duration::ZERO;
    for _ in 0..20 {
        // 25 kB in 20 ms is 10 Mbit/s; then the encoder needs 230 ms for the next chunk.
        for _ in 0..6 {
            chunked.arrived(now, 5000);
            now += ms(4);
        }
        now += ms(230);
    }
    chunked.finished();
    let mbps = chunked.bps(None).unwrap() / 1e6;
    assert!((8.0..12.0).contains(&mbps), "{mbps}");
}

#[test]
fn what_is_under_way_never_raises_an_estimate() {
    let kinds = [
        Kind::default(),
        Kind::PacedEwma { fast: 3.0, slow: 8.0, least: 2.0 },
        Kind::Harmonic(5),
        Kind::Percentile { percentile: 0.5, weight: 2000.0 },
        Kind::LastFew(3),
        Kind::Chunked,
    ];
    for kind in kinds {
        let mut estimator = kind.create();
        assert!(estimator.bps(None).is_none());
        for kbps in [900.0, 1100.0, 1000.0] {
            estimator.add(&sample(kbps, 1.0));
        }
        let now = estimator.bps(None).unwrap();
        assert!(estimator.bps(Some(&sample(50_000.0, 2.0))).unwrap() <= now + 1e-6, "{kind:?}");
        assert!(estimator.bps(Some(&sample(10.0, 5.0))).unwrap() < now, "{kind:?}");
        estimator.reset();
        assert!(estimator.bps(None).is_none());
    }
}

#[test]
fn chunked_transfers_are_measured_by_their_bursts_through_the_meter() {
    let mut bandwidth = Bandwidth::new(Kind::Chunked);
    bandwidth.started(FetchId(0), ms(0));
    bandwidth.first_byte(FetchId(0), ms(30));
    let (mut now, mut bytes) = (30, 0);
    for _ in 0..8 {
        for _ in 0..6 {
            bytes += 5000;
            bandwidth.progress(FetchId(0), bytes, ms(now));
            now += 4;
        }
        now += 226;
    }
    bandwidth.ended(FetchId(0), ms(now));
    // The whole of it came at 1 Mbit/s, its bursts at 10.
    assert!((8000.0..12_000.0).contains(&kbps(&bandwidth, now)), "{}", kbps(&bandwidth, now));
}

/// A transfer of 500 kB with this silence in its middle, in ms.
fn interrupted(bandwidth: &mut Bandwidth, id: u64, at: u64, silence: u64) -> u64 {
    let id = FetchId(id);
    bandwidth.started(id, ms(at));
    bandwidth.first_byte(id, ms(at + 20));
    bandwidth.progress(id, 250_000, ms(at + 420));
    // Somebody looks at it while nothing comes.
    bandwidth.progress(id, 250_000, ms(at + 420 + silence / 2));
    bandwidth.progress(id, 312_500, ms(at + 520 + silence));
    bandwidth.progress(id, 500_000, ms(at + 820 + silence));
    bandwidth.ended(id, ms(at + 820 + silence));
    at + 820 + silence
}

#[test]
fn an_outage_within_a_transfer_is_counted_and_is_no_part_of_the_rate() {
    let mut bandwidth = Bandwidth::new(Kind::PacedEwma { fast: 3.0, slow: 8.0, least: 2.0 });
    transfer(&mut bandwidth, 0, 0, 20, 4000, 2_500_000);
    let outlook = bandwidth.estimate(ms(5000)).unwrap().outlook;
    assert!(outlook.outages == 0.0, "{outlook:?}");
    let mut now = 5000;
    for (id, silence) in [(1, 9000), (2, 14_600)] {
        now = interrupted(&mut bandwidth, id, now, silence);
    }
    let estimate = bandwidth.estimate(ms(now)).unwrap();
    assert!((estimate.mean.kbps() - 5000.0).abs() < 250.0, "{estimate:?}");
    assert!((estimate.outlook.next.exp() / 5e6 - 1.0).abs() < 0.1, "{estimate:?}");
    // Two in half a minute; they last as long as they did.
    assert!((0.02..0.1).contains(&estimate.outlook.outages), "{estimate:?}");
    let [short, long] = estimate.outlook.silent;
    assert!((short - 9.0).abs() < 0.1 && (long - 14.6).abs() < 0.1, "{estimate:?}");
}

#[test]
fn a_short_silence_is_part_of_the_rate_and_the_rules_of_others_get_all_of_the_time() {
    let mut weir = Bandwidth::new(Kind::PacedEwma { fast: 3.0, slow: 8.0, least: 2.0 });
    let now = interrupted(&mut weir, 0, 0, 2000);
    let estimate = weir.estimate(ms(now)).unwrap();
    assert!(estimate.outlook.outages == 0.0 && estimate.mean.kbps() < 2000.0, "{estimate:?}");
    let mut others = Bandwidth::new(Kind::default());
    let now = interrupted(&mut others, 0, 0, 9000);
    assert!(kbps(&others, now) < 500.0, "{}", kbps(&others, now));
}

#[test]
fn one_answer_that_comes_after_an_outage_does_not_count_as_slow_but_two_in_a_row_do() {
    let mut bandwidth = Bandwidth::new(Kind::PacedEwma { fast: 3.0, slow: 8.0, least: 2.0 });
    for id in 0..4 {
        transfer(&mut bandwidth, id, id * 2000, 40, 1000, 500_000);
    }
    transfer(&mut bandwidth, 4, 8000, 12_000, 1000, 500_000);
    let estimate = bandwidth.estimate(ms(21_000)).unwrap();
    assert!(estimate.ttfb < ms(60) && estimate.outlook.outages > 0.0, "{estimate:?}");
    transfer(&mut bandwidth, 5, 22_000, 12_000, 1000, 500_000);
    assert!(bandwidth.estimate(ms(35_000)).unwrap().ttfb > ms(2000));
}

#[test]
fn a_dozen_short_segments_in_a_moment_do_not_make_a_steady_link() {
    let mut bandwidth = Bandwidth::new(Kind::PacedEwma { fast: 3.0, slow: 8.0, least: 2.0 });
    let mut steady_at = None;
    for id in 0..40 {
        transfer(&mut bandwidth, id, id * 500, 40, 100, 62_500);
        if bandwidth.estimate(ms(id * 500 + 140)).unwrap().steady.is_some() {
            steady_at.get_or_insert(id / 2);
        }
    }
    assert!(steady_at.is_some_and(|at| (10..14).contains(&at)), "{steady_at:?}");
}
