use super::*;

fn painter(width: usize, height: usize, rung: u32, frame_rate: (u32, u32)) -> CardPainter {
    let (half, chroma) = (width.div_ceil(2), width.div_ceil(2) * height.div_ceil(2));
    let offsets = [0, width * height, width * height + chroma];
    let layout = Layout { width, height, strides: [width, half, half], offsets, size: offsets[2] + chroma };
    CardPainter::new(layout, rung, "720p 2.8M", frame_rate, 1)
}

fn picture(painter: &CardPainter, n: u64) -> Vec<u8> {
    let mut picture = vec![0; painter.picture_size()];
    painter.paint(n, &mut picture);
    picture
}

#[test]
fn the_band_holds_frame_number_rung_and_parity() {
    let (width, height) = (426, 240);
    let card = painter(width, height, 5, (25, 1));
    for n in [0, 1, 1000, 0xabc_def] {
        let picture = picture(&card, n);
        let y = height - 10;
        let cells: Vec<u8> = (0..32).map(|i| picture[y * width + (2 * i + 1) * width / 64]).collect();
        assert!(cells.iter().all(|v| *v == WHITE || *v == BLACK));
        let bits: Vec<u64> = cells.iter().map(|v| u64::from(*v == WHITE)).collect();
        let number =
            |range: std::ops::RangeInclusive<usize>| bits[range].iter().fold(0, |all, bit| all << 1 | bit);
        assert_eq!(number(2..=25), n);
        assert_eq!(number(26..=29), 5);
        assert_eq!(bits[2..=30].iter().sum::<u64>() % 2, 0);
        assert_eq!((bits[0], bits[1], bits[31]), (1, 0, 0));
    }
}

#[test]
fn the_flash_box_is_white_for_the_first_tenth_of_each_second() {
    for (rate, lit) in [((25, 1), vec![0, 1, 2, 25, 26, 27, 50]), ((30_000, 1001), vec![0, 1, 2, 30, 31, 32])]
    {
        let card = painter(128, 72, 0, rate);
        for n in 0..52_u64 {
            let exact = (n * u64::from(rate.1)) as f64 / f64::from(rate.0);
            let white = picture(&card, n)[12 * 128 + 114] == WHITE;
            assert_eq!(white, exact.fract() < 0.1, "frame {n} at {exact}");
        }
        assert!(lit.iter().all(|n| card.flashes(*n)));
    }
}

#[test]
fn band_and_flash_box_have_no_colour() {
    let (width, height) = (320, 180);
    let card = painter(width, height, 0, (25, 1));
    let picture = picture(&card, 3);
    let chroma =
        |plane: usize, x: usize, y: usize| picture[width * height + plane * (160 * 90) + y / 2 * 160 + x / 2];
    for (x, y) in [(0, height - 1), (width - 1, height - 16), (width * 89 / 100, height * 17 / 100)] {
        assert_eq!((chroma(0, x, y), chroma(1, x, y)), (128, 128), "{x} {y}");
    }
}

#[test]
fn every_size_can_be_drawn_and_every_frame_differs() {
    for (width, height) in [(86, 48), (426, 240), (638, 358), (1920, 1080)] {
        let card = painter(width, height, 15, (25, 1));
        assert_ne!(picture(&card, 7), picture(&card, 8));
        assert_eq!(picture(&card, 1_000_000), picture(&card, 1_000_000));
    }
}

#[test]
fn the_beep_starts_on_the_second_and_lasts_a_tenth() {
    assert_eq!(beep(-1), 0.0);
    assert_eq!(beep(0), 0.0);
    assert!(beep(48_012) > 0.49);
    assert!(beep(1).abs() > 0.0 && beep(4799).abs() > 0.0);
    assert_eq!(beep(4800), 0.0);
    assert_eq!(beep(47_999), 0.0);
}
